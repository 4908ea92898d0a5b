"""What is appended comes out sealed, numbered and chained, within the bound."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.journal.journal import SEGMENT_RECORDS
from outrider_wire.batch import FIRST_PREVIOUS, BatchFacts, SenseView, peek_header, read_events, read_findings
from outrider_wire.errors import ConfigError
from outrider_wire.events import Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

Make = Callable[[str], Finding]


@pytest.fixture
def key() -> SigningKey:
    """An agent's key."""
    return SigningKey.generate()


def seal_all(journal: Journal, facts: BatchFacts) -> None:
    """Seal until nothing waits."""
    while journal.seal(facts):
        pass


def test_records_are_sealed_in_a_chain(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make, event: Event, reads: Any
) -> None:
    """Each batch names the one before it, and holds what was appended since."""
    journal = opener(key)
    for name in ("a", "b", "c"):
        journal.append_finding(finding(name))
        journal.append_event(event)
        journal.note_lost("pipe", 2)
        journal.seal(facts)
    batches = [reads(batch.read(), key) for batch in journal.pending()]
    assert [batch.header.sequence for batch in batches] == [0, 1, 2]
    assert [batch.header.previous for batch in batches] == [FIRST_PREVIOUS, batches[0].digest, batches[1].digest]
    assert [each.id for batch in batches for each in read_findings(batch)] == ["a", "b", "c"]
    assert all(read_events(batch) == [event] and batch.header.lost == {"pipe": 2} for batch in batches)


def test_nothing_is_sealed_of_nothing(opener: Any, key: SigningKey, facts: BatchFacts, reads: Any) -> None:
    """Without records there is no batch, unless one is asked for: a heartbeat, or a good-bye."""
    journal = opener(key)
    assert journal.seal(facts) is None
    heartbeat, goodbye = journal.seal(facts, force=True), journal.seal(facts, final=True)
    assert heartbeat is not None and goodbye is not None
    assert (heartbeat.header.findings.count, heartbeat.header.final, goodbye.header.final) == (0, False, True)


def test_a_full_segment_wakes_the_shipper(opener: Any, key: SigningKey, facts: BatchFacts, event: Event) -> None:
    """At the bound of a segment it is closed, and a new one begins."""
    journal = opener(key)
    for _ in range(SEGMENT_RECORDS * 2 + 1):
        journal.append_event(event)
    assert journal.wake.is_set() and journal.urgent
    seal_all(journal, facts)
    counts = [peek_header(batch.read())[0].events.count for batch in journal.pending()]
    assert counts == [SEGMENT_RECORDS, SEGMENT_RECORDS, 1]


def test_the_same_key_goes_on_where_it_was(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make, reads: Any
) -> None:
    """After a restart with the same key the chain continues, also when all was acknowledged, and no label is set."""
    journal = opener(key)
    first = journal.seal(facts, force=True)
    journal.acknowledge(journal.head())
    journal.append_finding(finding("a"))
    journal = opener(key)
    assert journal.wake.is_set()
    second = journal.seal(facts)
    assert first and second
    assert (second.header.sequence, second.header.previous, second.header.recovered_from) == (1, first.digest, "")
    assert [each.id for each in read_findings(reads(second.data, key))] == ["a"]


def test_a_successor_ships_and_seals_what_was_left(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make, reads: Any
) -> None:
    """Sealed batches of a dead agent are sent as they are; its open records are sealed by the next one, labelled."""
    journal = opener(key)
    journal.append_finding(finding("sealed"))
    sealed = journal.seal(facts)
    journal.append_finding(finding("open"))
    second = SigningKey.generate()
    opener(second)  # dies before it seals anything
    third = SigningKey.generate()
    journal = opener(third)
    recovered = journal.seal(facts)
    assert sealed and recovered
    assert [batch.read() for batch in journal.pending()] == [sealed.data, recovered.data]
    assert (recovered.header.agent, recovered.header.recovered_from) == (third.agent, key.agent)
    assert [each.id for each in read_findings(reads(recovered.data, third))] == ["open"]
    for batch in journal.pending():
        journal.acknowledge(batch)
    assert {path.name for path in opener.root.iterdir() if path.is_dir()} == {third.agent}


def test_a_torn_tail_is_read_to_the_tear(opener: Any, key: SigningKey, facts: BatchFacts, finding: Make) -> None:
    """Half a record at the end costs that record, and is counted."""
    journal = opener(key)
    journal.append_finding(finding("a"))
    journal.append_finding(finding("b"))
    (segment,) = opener.root.glob("*/*.segment")
    segment.write_bytes(segment.read_bytes()[:-5])
    sealed = opener(SigningKey.generate()).seal(facts)
    assert sealed.header.findings.count == 1
    assert sealed.header.lost == {"journal-damaged": 1}


def test_a_crash_between_sealing_and_forgetting_doubles_nothing(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make
) -> None:
    """A segment whose batch exists already is dropped at the next start."""
    journal = opener(key)
    journal.append_finding(finding("a"))
    (segment,) = opener.root.glob("*/*.segment")
    kept = segment.read_bytes()
    sealed = journal.seal(facts)
    (position,) = opener.root.glob("*/position-*")
    segment.write_bytes(kept)
    position.rename(position.with_name(f"position-{0:016d}-{bytes(32).hex()}"))
    journal = opener(key)
    assert journal.seal(facts) is None
    following = journal.seal(facts, force=True)
    assert (following.header.sequence, following.header.previous) == (1, sealed.digest)


def test_events_make_room_for_findings(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make, event: Event, reads: Any
) -> None:
    """Over the limit the oldest events go first; findings and signed heads stay, and the loss is told."""
    limit = 60_000
    journal = opener(key, limit)
    for number in range(30):
        journal.append_finding(finding(str(number)))
        for _ in range(40):
            journal.append_event(replace(event, cwd=os.urandom(40).hex()))
        journal.seal(facts)
    batches = [reads(batch.read(), key) for batch in journal.pending()]
    assert journal.stats().disk_bytes <= limit
    assert [each.id for batch in batches for each in read_findings(batch)] == [str(n) for n in range(30)]
    shed = sum(batch.shed_events for batch in batches)
    journal.seal(facts, force=True)
    told = sum(peek_header(b.read())[0].lost.get("shed-events", 0) for b in journal.pending())
    assert shed == told > 0
    assert batches[0].shed_events == 40 and batches[-1].shed_events == 0


def test_findings_go_last_and_are_counted(opener: Any, key: SigningKey, facts: BatchFacts, finding: Make) -> None:
    """When findings alone break the limit, the oldest go, the bound holds, and the next batch says so."""
    limit = 20_000
    journal = opener(key, limit)
    for number in range(100):
        journal.append_finding(finding(f"{number}-{SigningKey.generate().public.hex() * 4}"))
        journal.seal(facts)
    assert journal.stats().disk_bytes <= limit
    journal.seal(facts, force=True)
    heads = [peek_header(batch.read())[0] for batch in journal.pending()]
    assert any(head.lost.get("shed-findings", 0) + head.lost.get("shed-batches", 0) for head in heads)
    used = sum(path.stat().st_size for path in opener.root.rglob("*") if path.is_file())
    assert used <= limit * 1.25


def test_a_flood_between_seals_is_bounded_and_counted(
    opener: Any, key: SigningKey, facts: BatchFacts, finding: Make, event: Event
) -> None:
    """With nobody sealing, events stop at the limit, findings still fit, and the number dropped is told."""
    journal = opener(key, 20_000)
    for _ in range(500):
        journal.append_event(event)
    journal.append_finding(finding("late"))
    seal_all(journal, facts)
    heads = [peek_header(batch.read())[0] for batch in journal.pending()]
    dropped = sum(head.lost.get("journal-events", 0) for head in heads)
    assert dropped + sum(head.events.count for head in heads) == 500 and dropped > 0
    assert sum(head.findings.count for head in heads) == 1


def test_what_cannot_be_encoded_is_counted(opener: Any, key: SigningKey, facts: BatchFacts, event: Event) -> None:
    """Text that was not cleaned, or a record of megabytes, costs itself alone."""
    journal = opener(key)
    journal.append_event(replace(event, cwd="\udcff"))
    journal.append_event(replace(event, cwd="x" * (2 << 20)))
    journal.append_event(event)
    head = journal.seal(facts).header
    assert (head.events.count, head.lost) == (1, {"unencodable": 2})


def test_giant_facts_do_not_stop_the_sealing(opener: Any, key: SigningKey, finding: Make) -> None:
    """A header that would be too long is sent without the capabilities."""
    senses = tuple(SenseView("x", "y", False, "reason" * 400) for _ in range(60))
    journal = opener(key)
    journal.append_finding(finding("a"))
    sealed = journal.seal(BatchFacts(interval_s=1.0, capabilities=senses))
    assert (sealed.header.capabilities, sealed.header.findings.count) == ((), 1)


def test_the_journal_is_private_and_has_one_writer(opener: Any, key: SigningKey, finding: Make) -> None:
    """Directories are 0700, files 0600, and a second process is refused."""
    journal = opener(key)
    journal.append_finding(finding("a"))
    load_resume_key(opener.root)
    for path in [opener.root, *opener.root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    with pytest.raises(ConfigError, match="another process"):
        Journal.open(opener.root, limit_bytes=1, key=SigningKey.generate())


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path, key: SigningKey) -> None:
    """The operator is told what cannot be used."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        Journal.open(tmp_path / "file", limit_bytes=1, key=key)


def test_the_resume_key_outlives_its_maker(tmp_path: Path) -> None:
    """The same key is read again; half a key is replaced."""
    first = load_resume_key(tmp_path)
    assert load_resume_key(tmp_path).public == first.public
    (tmp_path / "resume.key").write_bytes(b"torn")
    assert load_resume_key(tmp_path).public != first.public


def test_parked_batches_are_kept_within_a_bound(opener: Any, key: SigningKey, facts: BatchFacts) -> None:
    """A batch put aside is out of the way, its file stays, and only so many stay."""
    journal = opener(key)
    for _ in range(20):
        journal.seal(facts, force=True)
        journal.park(journal.head())
    assert journal.head() is None and journal.stats().parked == 20
    assert len(list(opener.root.glob("*/*.parked"))) == 16
