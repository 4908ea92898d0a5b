"""A disk that is really full: nothing is raised, what memory holds is sent, the chain stays whole."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.journal.memory import MAX_MEMORY_BYTES, MAX_MEMORY_RECORDS, Overflow
from outrider_sidecar.journal.records import EVENT, FINDING, Contents
from outrider_wire.batch import BatchFacts, peek_header, read_findings
from outrider_wire.events import Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

LIMIT = 64 << 20


def fill(place: Path) -> Path:
    """Use up the disk to the last block."""
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as out:
        try:
            while out.write(bytes(4096)):
                pass
        except OSError:
            pass
    return filler


def test_a_disk_that_fills_up_costs_nothing_that_memory_can_hold(
    tiny_disk: Path, facts: BatchFacts, finding: Callable[[str], Finding], event: Event, reads: Any
) -> None:
    """Findings made before, while and after the disk is full are all sealed, in one chain, and settle on disk again."""
    key = SigningKey.generate()
    journal = Journal.open(tiny_disk / "j", limit_bytes=LIMIT, key=key)
    journal.append_finding(finding("before"))
    filler = fill(tiny_disk)
    for number in range(1500):
        journal.append_event(event)
        if number % 100 == 0:
            journal.append_finding(finding(f"while-{number}"))
            journal.seal(facts)
    assert journal.stats().faults > 0 and journal.stats().memory_bytes > 0
    filler.unlink()
    journal.append_finding(finding("after"))
    while journal.seal(facts):
        pass
    assert journal.stats().memory_bytes == 0
    batches = [reads(batch.read(), key) for batch in journal.pending()]
    for before, after in itertools.pairwise(batches):
        assert (after.header.previous, after.header.sequence) == (before.digest, before.header.sequence + 1)
    told = [each.id for batch in batches for each in read_findings(batch)]
    assert told == ["before", *(f"while-{n}" for n in range(0, 1500, 100)), "after"]
    assert sum(batch.header.events.count for batch in batches) == 1500
    journal.close()


def test_the_position_moves_on_a_full_disk(tiny_disk: Path, facts: BatchFacts) -> None:
    """A batch sent from memory alone is not numbered again by a restart with the same key: no false fork."""
    key = SigningKey.generate()
    journal = Journal.open(tiny_disk / "j", limit_bytes=LIMIT, key=key)
    fill(tiny_disk)
    sent = journal.seal(facts, force=True)
    assert sent is not None
    journal.acknowledge(journal.pending()[0])
    journal.close()
    journal = Journal.open(tiny_disk / "j", limit_bytes=LIMIT, key=key)
    following = journal.seal(facts, force=True)
    assert following is not None
    assert (following.header.sequence, following.header.previous) == (1, sent.digest)
    journal.close()


def test_a_journal_opens_on_a_full_disk(tiny_disk: Path, facts: BatchFacts, finding: Callable[[str], Finding]) -> None:
    """With no room for a single file, records are kept and sealed in memory."""
    fill(tiny_disk)
    journal = Journal.open(tiny_disk / "j", limit_bytes=LIMIT, key=SigningKey.generate())
    load_resume_key(tiny_disk / "j")
    journal.append_finding(finding("a"))
    sealed = journal.seal(facts)
    assert sealed is not None and sealed.header.findings.count == 1
    assert peek_header(journal.pending()[0].read())[0] == sealed.header
    journal.close()


def test_memory_is_bounded_and_prefers_findings() -> None:
    """Events make room for findings, and whatever does not fit is counted."""
    overflow = Overflow()
    for _ in range(10):
        overflow.add(EVENT, bytes(MAX_MEMORY_BYTES // 4))
    for _ in range(5):
        overflow.add(FINDING, bytes(MAX_MEMORY_BYTES // 4))
    assert overflow.size_bytes <= MAX_MEMORY_BYTES
    contents = Contents()
    overflow.drain_into(contents)
    assert (len(contents.events), len(contents.findings)) == (0, 4)
    assert contents.lost == {"journal-events": 10, "journal-findings": 1}
    assert overflow.empty and overflow.size_bytes == 0


def test_memory_is_bounded_in_records_too() -> None:
    """Tiny records are bounded by their number; a finding still displaces an event."""
    overflow = Overflow()
    for _ in range(MAX_MEMORY_RECORDS + 5):
        overflow.add(EVENT, b"e")
    overflow.add(FINDING, b"f")
    contents = Contents()
    overflow.drain_into(contents)
    assert (len(contents.findings), len(contents.events)) == (1, MAX_MEMORY_RECORDS - 1)
    assert contents.lost == {"journal-events": 6}
