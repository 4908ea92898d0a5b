"""Where events and findings go: the journal, a file of JSON lines, a person's terminal."""

import os
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from outrider_sidecar.engine import Sink
from outrider_sidecar.journal import Journal
from outrider_wire.events import Event, ProcessExited, ProcessStarted
from outrider_wire.findings import Finding

NOT_SENT: Final = (ProcessStarted, ProcessExited)
"""Events that say little by themselves: a fork before its exec, an end. The world keeps what follows from them."""


class JournalSink:
    """Records what is to be sent."""

    def __init__(self, journal: Journal, *, events: bool) -> None:
        self._journal = journal
        self._events = events

    def event(self, event: Event) -> None:
        if self._events and not isinstance(event, NOT_SENT):
            self._journal.append_event(event)

    def finding(self, finding: Finding) -> None:
        self._journal.append_finding(finding)


def append_line(path: str, line: bytes) -> None:
    """Write one line to the end of a file, which is opened for it alone; `-` is standard output. Raises OSError."""
    if path == "-":
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, line + b"\n")
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


class TellSink:
    """Hands each finding to a function, such as one that prints it."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self._tell = tell

    def event(self, event: Event) -> None:
        del event

    def finding(self, finding: Finding) -> None:
        self._tell(finding)


class Sinks:
    """Several sinks in order. One that the disk refuses does not keep the others from theirs."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)
        self.refused = 0

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def event(self, event: Event) -> None:
        for sink in self._sinks:
            sink.event(event)

    def finding(self, finding: Finding) -> None:
        for sink in self._sinks:
            try:
                sink.finding(finding)
            except OSError:
                self.refused += 1
