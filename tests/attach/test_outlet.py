"""Events leave the tracer whole, in order, without waiting; what does not fit is counted."""

import os

import msgpack
from msgspec.msgpack import decode

from outrider_sidecar.sensors.attach.outlet import Outlet, make_event_pipe
from outrider_wire.events import Event, FileChanged, FileFacts, ProcessExecuted, ProcessId, ProcessStarted, SightLost


def read_all(fd: int) -> list[Event]:
    stream = msgpack.Unpacker(max_buffer_size=0)
    os.set_blocking(fd, False)
    try:
        while data := os.read(fd, 1 << 20):
            stream.feed(data)
    except BlockingIOError:
        pass
    events = [decode(record, type=Event) for record in stream]
    assert stream.tell() >= 0
    return events


def started(pid: int) -> ProcessStarted:
    return ProcessStarted(1, ProcessId(pid, 1))


def test_events_of_every_size_arrive_in_order():
    """Small records are joined, long ones stand alone."""
    reader, writer = make_event_pipe()
    outlet = Outlet(writer)
    sizes = [1, 300, 60_000, 10, 5_000, 70_000, 2]
    for pid, size in enumerate(sizes):
        outlet.put(ProcessExecuted(1, ProcessId(pid, 1), argv=("x" * size,)))
        outlet.flush()
    assert [len(event.argv[0]) for event in read_all(reader)] == sizes
    os.close(reader)
    os.close(writer)


def test_what_does_not_fit_is_dropped_counted_and_said():
    """With nobody reading the backlog fills, later events are lost, and their number goes out when there is room."""
    reader, writer = make_event_pipe()
    outlet = Outlet(writer, backlog_bytes=10_000)
    for pid in range(60_000):
        outlet.put(started(pid))
        outlet.flush()
    lost = outlet.lost_in_all
    assert lost > 0
    arrived = read_all(reader)
    outlet.flush()
    arrived += read_all(reader)
    *kept, last = arrived
    assert isinstance(last, SightLost)
    assert last.lost == lost
    assert [event.process.pid for event in kept] == list(range(60_000 - lost))
    os.close(reader)
    os.close(writer)


def test_a_lost_change_of_a_file_is_lost_since_it_happened():
    """It may have waited to be told of: the loss begins with the change, not with the full pipe."""
    reader, writer = make_event_pipe()
    outlet = Outlet(writer, backlog_bytes=0)
    outlet.put(FileChanged(2_000, "created", FileFacts("/tmp/x", ctime_ns=1_000)))
    outlet.put(started(1))
    outlet._limit = 10_000
    outlet.flush()
    (lost,) = read_all(reader)
    assert isinstance(lost, SightLost)
    assert (lost.lost, lost.since_ns) == (2, 1_000)
    os.close(reader)
    os.close(writer)


def test_a_long_record_waits_until_it_fits_whole():
    """A record over a page is never cut, however full the pipe is."""
    reader, writer = make_event_pipe()
    outlet = Outlet(writer)
    sent = 0
    for pid in range(40):
        outlet.put(ProcessExecuted(1, ProcessId(pid, 1), argv=("x" * 50_000,)))
        outlet.flush()
        sent += 1
    first = read_all(reader)
    assert 0 < len(first) < sent
    while len(first) < sent:
        outlet.flush()
        more = read_all(reader)
        assert more
        first += more
    assert [event.process.pid for event in first] == list(range(sent))
    os.close(reader)
    os.close(writer)
