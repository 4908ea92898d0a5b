"""Proving offline, from the stored bytes alone, that an agent's record is whole, or saying where it is not.

What is proved: every batch of the spool was signed by the key that its agent is named by, each follows from the one
before it, none is missing between the first and the last, none came twice with different contents, and what was shed
of one is announced in what was signed. What cannot be proved: that nothing came after the last, or, where the oldest
files of the spool were let go, before the first.
"""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

from outrider_collector.acceptor import check_blob
from outrider_collector.register import Registered, read_register
from outrider_collector.spool import Frame, Place, Spool
from outrider_wire.batch import FIRST_PREVIOUS, Batch, open_envelope, read_events, read_findings, verify_envelope
from outrider_wire.errors import ConfigError, WireError

MAX_FLAWS = 1_000
"""Most flaws told of one agent."""


class Flaw(Struct, frozen=True):
    """Something that is not as it should be. `place` is the spool's file and offset, empty for what is not there.

    Of several spools it begins with the directory that was given.
    """

    kind: str
    sequence: int
    detail: str
    place: str = ""


class Proof(Struct, frozen=True, kw_only=True):
    """What the stored bytes say of one agent. `whole`: no flaws. `begins`: its record begins with batch 0."""

    agent: str
    whole: bool
    begins: bool
    ends: bool
    first: int
    last: int
    batches: int
    copies: int
    findings: int
    events: int
    shed_findings: int
    shed_events: int
    lost: dict[str, int]
    task_arn: str
    flaws: list[Flaw]


class _Record:
    """One agent's batches, as they are found."""

    def __init__(self, entry: Registered | None) -> None:
        self.entry = entry
        self.batches: dict[int, Batch] = {}
        self.places: dict[int, str] = {}
        self.copies = 0
        self.flaws: list[Flaw] = []

    def tell(self, kind: str, sequence: int, detail: str, place: str = "") -> None:
        if len(self.flaws) < MAX_FLAWS:
            self.flaws.append(Flaw(kind, sequence, detail, place))

    def take(self, batch: Batch, place: str) -> None:
        number = batch.header.sequence
        there = self.batches.get(number)
        if there is not None and there.digest != batch.digest:
            self.tell("fork", number, f"two different batches; the other is at {self.places[number]}", place)
            return
        self.copies += there is not None
        if there is None or _shed(batch) < _shed(there):
            self.batches[number], self.places[number] = _without_records(batch), place


def prove(*directories: Path, agents: Iterable[str] = ()) -> list[Proof]:
    """Read the spools and registers of collectors, or copies of them: one record. All agents, or those named.

    Raises:
        ConfigError: there is no register or no spool.
    """
    spools = [_spool_of(directory) for directory in directories]
    entries = {entry.agent: entry for spool in spools for entry in _entries_of(spool, alone=len(spools) == 1)}
    wanted = set(agents)
    records: dict[str, _Record] = {agent: _Record(entries[agent]) for agent in sorted(entries) if _is_in(agent, wanted)}
    for record in records.values():
        _check_entry(record)
    for spool, where in zip(spools, directories, strict=True):
        for frame in Spool.read_only(spool, Place(0, 0)):
            _read(frame, f"{where}/" if len(spools) > 1 else "", records, wanted)
    return [_judge(agent, record) for agent, record in sorted(records.items())]


def _spool_of(directory: Path) -> Path:
    if not directory.is_dir():
        raise ConfigError(f"{directory} is no directory; name a collector's data directory, or its spool")
    return directory / "spool" if (directory / "spool").is_dir() else directory


def _entries_of(spool: Path, *, alone: bool) -> list[Registered]:
    """Of several collectors one may have enrolled nobody."""
    try:
        return list(read_register(spool))
    except FileNotFoundError as error:
        if not alone:
            return []
        raise ConfigError(f"{spool} has no register of enrolments: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"{spool} has no register of enrolments: {error.strerror}") from error


def _is_in(agent: str, wanted: set[str]) -> bool:
    return not wanted or agent in wanted


def _check_entry(record: _Record) -> None:
    assert record.entry is not None
    try:
        record.entry.check()
    except WireError as error:
        record.tell("forged-enrolment", 0, str(error))


def _read(frame: Frame, where: str, records: dict[str, _Record], wanted: set[str]) -> None:
    place = f"{where}{frame.place.file:016d}.spool:{frame.place.offset}"
    try:
        envelope = open_envelope(frame.data)
    except WireError as error:
        records.setdefault("", _Record(None)).tell("unreadable", 0, str(error), place)
        return
    if not _is_in(envelope.agent, wanted):
        return
    record = records.setdefault(envelope.agent, _Record(None))
    if record.entry is None:
        record.tell("unregistered", 0, "no enrolment of this agent is in the register", place)
        return
    try:
        batch = verify_envelope(envelope, record.entry.public_key)
        check_blob(batch.findings, batch.header.findings)
        check_blob(batch.events, batch.header.events)
        read_findings(batch)
        read_events(batch)
    except WireError as error:
        record.tell(error.code, 0, error.detail, place)
        return
    record.take(batch, place)


def _judge(agent: str, record: _Record) -> Proof:
    numbers = sorted(record.batches)
    for before, after in pairwise(numbers):
        if after != before + 1:
            record.tell("gap", before + 1, f"batches {before + 1} to {after - 1} are not there")
        elif record.batches[after].header.previous != record.batches[before].digest:
            record.tell("broken-chain", after, "it does not follow from the batch before it", record.places[after])
    if numbers and numbers[0] == 0 and record.batches[0].header.previous != FIRST_PREVIOUS:
        record.tell("broken-chain", 0, "the first batch follows from another", record.places[0])
    batches = [record.batches[number] for number in numbers]
    lost: dict[str, int] = {}
    for batch in batches:
        for sense, count in batch.header.lost.items():
            lost[sense] = lost.get(sense, 0) + count
    entry = record.entry
    return Proof(
        agent=agent,
        whole=not record.flaws,
        begins=bool(numbers) and numbers[0] == 0,
        ends=bool(batches) and batches[-1].header.final,
        first=numbers[0] if numbers else 0,
        last=numbers[-1] if numbers else 0,
        batches=len(numbers),
        copies=record.copies,
        findings=sum(batch.header.findings.count for batch in batches),
        events=sum(batch.header.events.count for batch in batches),
        shed_findings=sum(_shed(batch)[0] for batch in batches),
        shed_events=sum(_shed(batch)[1] for batch in batches),
        lost=lost,
        task_arn=entry.task.arn if entry is not None and entry.task is not None else "",
        flaws=record.flaws,
    )


def _shed(batch: Batch) -> tuple[int, int]:
    return batch.shed_findings, batch.shed_events


def _without_records(batch: Batch) -> Batch:
    """A record of a year would not fit in memory with its events: whether they are there is all that is kept."""
    return Batch(batch.header, batch.digest, batch.findings[:1], batch.events[:1])
