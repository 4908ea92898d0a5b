"""Where events and findings go: the journal, a file of JSON lines, a person's terminal."""

import contextlib
import os
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from outrider_sidecar.engine import Sink
from outrider_sidecar.journal import Journal
from outrider_wire.events import ContainerSeen, Event, ProcessExited, ProcessStarted
from outrider_wire.findings import Finding

NOT_SENT: Final = (ProcessStarted, ProcessExited)
"""Events that say little by themselves: a fork before its exec, an end. The world keeps what follows from them."""

MAX_REFUSALS: Final = 64
"""Most places and reasons of refusal that are told apart."""


MAX_KNOWN: Final = 1_024
"""Most containers whose names are kept to introduce their events."""


class JournalSink:
    """Records what is to be sent. Each segment tells who a container is before the first of its events."""

    def __init__(self, journal: Journal, *, events: bool) -> None:
        self._journal = journal
        self._events = events
        self._known: OrderedDict[int, ContainerSeen] = OrderedDict()

    def event(self, event: Event) -> None:
        if isinstance(event, ContainerSeen):
            self._meet(event)
        elif self._events and not isinstance(event, NOT_SENT):
            self._journal.append_event(event, about=self._known.get(getattr(event, "mnt_ns", 0)))

    def _meet(self, seen: ContainerSeen) -> None:
        """What is new of a container whose events may be on their way is told at once, else with its first."""
        is_known = self._known.pop(seen.mnt_ns, None) is not None
        self._known[seen.mnt_ns] = seen
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        if is_known and self._events:
            self._journal.append_event(seen)

    def finding(self, finding: Finding) -> None:
        self._journal.append_finding(finding)


def append_line(path: str, line: bytes) -> None:
    """Write one line to the end of a file, which is opened for it alone; `-` is standard output. Raises OSError."""
    if path == "-":
        sys.stdout.flush()
        _write_whole(sys.stdout.fileno(), line + b"\n", "standard output")
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _write_whole(fd, line + b"\n", path)
    finally:
        os.close(fd)


class LinesSink:
    """Writes each finding as one line of JSON; `-` is standard output."""

    def __init__(self, path: str) -> None:
        self._path = path

    def event(self, event: Event) -> None:
        del event

    def finding(self, finding: Finding) -> None:
        append_line(self._path, msgspec.json.encode(finding))


def _write_whole(fd: int, line: bytes, where: str) -> None:
    """Write a line to its end. Raises OSError with `where` as its file name; a file is cut back to whole lines then."""
    left = line
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError as error:
        if written := len(line) - len(left):
            with contextlib.suppress(OSError):  # a pipe or a terminal cannot take back what it got
                os.ftruncate(fd, os.fstat(fd).st_size - written)
        raise OSError(error.errno, error.strerror, where) from error


class TellSink:
    """Hands each finding to a function, such as one that prints it."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self._tell = tell

    def event(self, event: Event) -> None:
        del event

    def finding(self, finding: Finding) -> None:
        self._tell(finding)


class Sinks:
    """Several sinks in order. One that the disk refuses does not keep the others from theirs.

    `refused` counts by what refused and why: what `losses` says.
    """

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)
        self._refusals: Counter[tuple[str, str]] = Counter()

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)

    @property
    def refused(self) -> int:
        """Findings that some sink could not take."""
        return self._refusals.total()

    def losses(self) -> list[str]:
        """For each place and reason one line that says how many findings are missing there."""
        return [
            f"{count} finding{'s' * (count != 1)} could not be written to {where}: {reason}"
            for (where, reason), count in self._refusals.items()
        ]

    def event(self, event: Event) -> None:
        for sink in self._sinks:
            sink.event(event)

    def finding(self, finding: Finding) -> None:
        for sink in self._sinks:
            try:
                sink.finding(finding)
            except OSError as error:
                where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "its place"
                reason = error.strerror or str(error)
                known = len(self._refusals) < MAX_REFUSALS or (where, reason) in self._refusals
                self._refusals[(where, reason) if known else ("other places", "for many reasons")] += 1
