"""`outrider replay`: rules over what a journal holds, sealed or not, whole or with holes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider_sidecar.journal import Journal
from outrider_sidecar.rehearsal.steps import BORN_NS
from outrider_wire.batch import BatchFacts
from outrider_wire.events import ConnectionOpened, Event, FileFacts, ProcessExecuted, ProcessId
from outrider_wire.signing import SigningKey

Run = Callable[..., tuple[int, str, str]]

S = 1_000_000_000


def ran(pid: int, path: str, *, parent: int | None = 1, second: float = 1.0) -> ProcessExecuted:
    return ProcessExecuted(
        at_ns=BORN_NS + int(second * S),
        process=ProcessId(pid, pid),
        parent=ProcessId(parent, parent) if parent else None,
        comm=path.rpartition("/")[2],
        exe=FileFacts(path, ino=pid, ctime_ns=1, mtime_ns=1),
        argv=(path,),
        mnt_ns=7,
    )


EVENTS: list[Event] = [
    ran(1, "/usr/sbin/nginx", parent=None, second=1),
    ran(7, "/bin/sh", second=2),
    ConnectionOpened(
        BORN_NS + 3 * S, "10.0.0.5", 40_000, "203.0.113.5", 4444, "outbound", owner=ProcessId(7, 7), attribution="exact"
    ),
]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty journal."""
    return Journal.open(tmp_path / "journal", limit_bytes=1 << 20, key=SigningKey.generate())


def test_rules_run_over_sealed_and_unsealed_records(
    folder: Path, tmp_path: Path, journal: Journal, outrider: Run
) -> None:
    """A journal of a batch and an open segment gives one story; ancestry is built up again."""
    journal.append_event(EVENTS[0])
    journal.append_event(EVENTS[1])
    assert journal.seal(BatchFacts(interval_s=10)) is not None
    journal.append_event(EVENTS[2])
    journal.close()
    code, out, err = outrider("replay", tmp_path / "journal", "--rules", folder / "rules.yaml", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [finding["rule"] for finding in found] == ["Shell Below A Web Server", "Odd Port"]
    assert found[0]["process"]["ancestry"][0]["name"] == "nginx"
    assert "3 events, 3 rules, 2 findings" in err
    assert "never recorded" in err


def test_a_single_batch_is_enough_and_says_what_is_missing(
    folder: Path, tmp_path: Path, journal: Journal, outrider: Run
) -> None:
    """Losses that a batch tells of, and events that were cut off it, are told."""
    journal.append_event(EVENTS[0])
    journal.note_lost("pipe", 5)
    sealed = journal.seal(BatchFacts(interval_s=10, unguarded_for_ms=40))
    assert sealed is not None
    whole, cut = tmp_path / "a.batch", tmp_path / "b.batch"
    whole.write_bytes(sealed.data)
    cut.write_bytes(sealed.data[: sealed.findings_end])
    code, out, err = outrider("replay", whole, cut, "--rules", folder / "rules.yaml", "--fail-on-findings")
    assert (code, out) == (0, "")
    assert f"missing: {whole}: 5 of pipe were lost" in err
    assert f"missing: {whole}: the task ran for 40 ms before it was guarded" in err
    assert f"missing: {cut}: its 1 events were cut off" in err


def test_a_gap_and_damage_are_told(folder: Path, tmp_path: Path, journal: Journal, outrider: Run) -> None:
    """Batches that the collector has had are gone, and a torn segment is read as far as it is whole."""
    for event in EVENTS:
        journal.append_event(event)
        journal.seal(BatchFacts(interval_s=10))
    journal.append_event(EVENTS[1])
    journal.close()
    root = tmp_path / "journal"
    (batch,) = root.rglob("*0001.batch")
    batch.unlink()
    (segment,) = root.rglob("*.segment")
    segment.write_bytes(segment.read_bytes() + b"\xc4\x20torn")
    code, _, err = outrider("replay", root, "--rules", folder / "rules.yaml", "--fail-on-findings")
    assert code == 1
    assert "no batch 1: the collector has had it" in err
    assert "its last 6 bytes are damaged" in err


def test_a_day_of_silence_between_two_events_is_not_lived_through(
    folder: Path, tmp_path: Path, journal: Journal, outrider: Run
) -> None:
    """Long pauses cost nothing."""
    for day in range(200):
        journal.append_event(ran(100 + day, "/bin/true", second=day * 86_400 + 1))
    journal.append_event(ran(1, "/usr/sbin/nginx", parent=None, second=200 * 86_400))
    journal.append_event(ran(7, "/bin/sh", second=201 * 86_400))
    journal.close()
    code, out, _ = outrider("replay", tmp_path / "journal", "--rules", folder / "rules.yaml")
    assert code == 0
    assert "Custom:Runtime/ShellBelowAWebServer" in out


@pytest.mark.parametrize("content", [b"", b"ORB1", b"ORB2" + b"x" * 200, b"ORB1\0\0\0\x05hello" + b"x" * 64])
def test_what_is_no_recording_is_refused(folder: Path, tmp_path: Path, outrider: Run, content: bytes) -> None:
    """By name and with exit code 2; a directory without a journal, and what is not there, too."""
    (tmp_path / "x.batch").write_bytes(content)
    (tmp_path / "empty").mkdir()
    for place in ("x.batch", "empty", "nowhere"):
        code, _, err = outrider("replay", tmp_path / place, "--rules", folder / "rules.yaml")
        assert code == 2
        assert place in err
