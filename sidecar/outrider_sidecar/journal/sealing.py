"""From a segment's contents to a batch: one that would break a bound is made smaller, never not made."""

from collections.abc import Callable

from msgspec.structs import replace

from outrider_sidecar.journal.records import Contents
from outrider_wire.batch import BatchFacts, SealedBatch

MAX_SENSES = 200
"""Most kinds of loss told of in one batch; the rest are summed as `other`."""

Make = Callable[[BatchFacts, Contents], SealedBatch]


def seal_within_bounds(make: Make, facts: BatchFacts, contents: Contents) -> SealedBatch:
    """Call `make`; when the batch would be too long, leave out the capabilities, the events, then the rest."""
    _merge_losses(contents)
    for shrink in (_keep, _without_capabilities, _without_events, _without_findings):
        facts = shrink(facts, contents)
        try:
            return make(facts, contents)
        except ValueError:
            continue
    return make(BatchFacts(interval_s=facts.interval_s), contents)


def _keep(facts: BatchFacts, contents: Contents) -> BatchFacts:
    del contents
    return facts


def _without_capabilities(facts: BatchFacts, contents: Contents) -> BatchFacts:
    del contents
    return replace(facts, capabilities=())


def _without_events(facts: BatchFacts, contents: Contents) -> BatchFacts:
    contents.add_loss("journal-events", len(contents.events))
    contents.events.clear()
    return facts


def _without_findings(facts: BatchFacts, contents: Contents) -> BatchFacts:
    contents.add_loss("journal-findings", len(contents.findings))
    contents.findings.clear()
    return facts


def _merge_losses(contents: Contents) -> None:
    for sense in list(contents.lost)[MAX_SENSES:]:
        contents.add_loss("other", contents.lost.pop(sense))
