"""The engine's intake: bounded, honest when full, and proof against a torn record."""

import os
import threading

import msgpack
import msgspec

from outrider_sidecar.intake import Intake, read_pipe
from outrider_wire.events import Event, FileChanged, FileFacts, ProcessExited, ProcessId, SightLost


def exited(number: int) -> ProcessExited:
    return ProcessExited(number, ProcessId(number, 1))


def framed(event: Event) -> bytes:
    return msgpack.packb(msgspec.msgpack.encode(event), use_bin_type=True)


def read_all(*chunks: bytes) -> list[Event]:
    """What comes of these bytes in a pipe that then ends."""
    reading, writing = os.pipe()
    found: list[Event] = []
    thread = threading.Thread(target=read_pipe, args=(reading, found.append, threading.Event()))
    thread.start()
    for chunk in chunks:
        os.write(writing, chunk)
    os.close(writing)
    thread.join(timeout=5)
    os.close(reading)
    assert not thread.is_alive()
    return found


def test_events_come_in_order():
    """First in, first out."""
    intake = Intake(clock_ns=lambda: 0)
    for number in (1, 2, 3):
        intake.put(exited(number))
    assert [intake.take(0), intake.take(0), intake.take(0)] == [exited(1), exited(2), exited(3)]
    assert intake.take(0) is None


def test_what_does_not_fit_is_counted_and_said():
    """A full queue drops, never waits, and says how many and since when as soon as there is room."""
    intake = Intake(max_queued=2, clock_ns=lambda: 7)
    for number in range(5):
        intake.put(exited(number))
    assert intake.take(0) == exited(0)
    assert intake.take(0) == exited(1)
    lost = intake.take(0)
    assert isinstance(lost, SightLost)
    assert (lost.lost, lost.since_ns) == (3, 7)
    assert "3 ProcessExited" in lost.reason
    assert intake.take(0) is None


def test_a_lost_change_of_a_file_is_lost_since_it_happened():
    """It was told of later than it happened, and whoever judges by silence is to doubt that time."""
    intake = Intake(max_queued=0, clock_ns=lambda: 90)
    intake.put(FileChanged(80, "created", FileFacts("/tmp/x", ctime_ns=60)))
    intake.put(exited(1))
    lost = intake.take(0)
    assert isinstance(lost, SightLost)
    assert (lost.at_ns, lost.since_ns) == (90, 60)
    intake.put(exited(1))
    again = intake.take(0)
    assert isinstance(again, SightLost) and again.since_ns == 90


def test_a_stream_is_read_to_its_end():
    """Records split anywhere are put together again."""
    raw = b"".join(framed(exited(n)) for n in range(50))
    pieces = [raw[i : i + 7] for i in range(0, len(raw), 7)]
    assert read_all(*pieces) == [exited(n) for n in range(50)]


def test_a_damaged_record_is_said_and_the_next_chunk_is_read():
    """Bytes that are no event are told of as lost sight; reading goes on."""
    found = read_all(framed(exited(1)) + msgpack.packb(b"\xc1 no event", use_bin_type=True))
    assert found[0] == exited(1)
    assert isinstance(found[1], SightLost)


def test_a_torn_record_at_the_end_is_nothing():
    """A tracer that died in the middle of a record leaves the whole ones."""
    assert read_all(framed(exited(1)) + framed(exited(2))[:-3]) == [exited(1)]
