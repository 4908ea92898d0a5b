"""What the tracer saw just before the whole sidecar was killed is kept, and judged by the next."""

import os
import signal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import encode

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.recorder import FILE, HEADER_BYTES, Recorder
from outrider_sidecar.replay import SETTLING_ROUNDS, Replay, unseen_ends
from outrider_sidecar.sensors.attach import bin_object
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessId, SightLost

HALF = 4096


def executed(number: int) -> ProcessExecuted:
    return ProcessExecuted(number, ProcessId(1_000_000_000 + number, 1), comm=f"p{number}")


def frame(number: int) -> bytes:
    return bin_object(encode(executed(number)))


def test_records_outlive_a_killed_writer(tmp_path: Path):
    """What a process recorded before its kill -9 is there for the next that opens the file."""
    recorder = Recorder(tmp_path)
    pid = os.fork()
    if not pid:
        recorder.record(frame(1))
        recorder.record(frame(2))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert Recorder(tmp_path).unjudged() == [executed(1), executed(2)]


def test_only_what_nobody_judged_is_given(tmp_path: Path):
    """Records up to the judged time are left out, also after the file was opened anew."""
    recorder = Recorder(tmp_path)
    for number in range(1, 6):
        recorder.record(frame(number))
    recorder.judged_ns = 3
    assert Recorder(tmp_path).unjudged() == [executed(4), executed(5)]


@given(number=st.integers(1, 400))
def test_the_latest_half_is_always_there(tmp_path_factory, number: int):
    """However much was recorded, the latest records are there, in order, without a gap."""
    recorder = Recorder(tmp_path_factory.mktemp("recorder"), half_bytes=HALF)
    for each in range(1, number + 1):
        recorder.record(frame(each))
    kept = [event.at_ns for event in recorder.unjudged()]
    assert kept == list(range(number - len(kept) + 1, number + 1))
    assert len(kept) == number or len(kept) * len(frame(number)) >= HALF - len(frame(number))


def test_a_record_larger_than_a_half_is_left_out(tmp_path: Path):
    """It changes nothing of the others."""
    recorder = Recorder(tmp_path, half_bytes=HALF)
    recorder.record(frame(1))
    recorder.record(b"\0" * (HALF + 1))
    assert recorder.unjudged() == [executed(1)]


@given(
    content=st.binary(max_size=HEADER_BYTES + 2 * HALF), lengths=st.tuples(st.integers(0, HALF), st.integers(0, HALF))
)
def test_any_file_can_be_opened(tmp_path_factory, content: bytes, lengths: tuple[int, int]):
    """A file of any content gives events or nothing, and can be written on."""
    folder = tmp_path_factory.mktemp("recorder")
    (folder / FILE).write_bytes(content.ljust(HEADER_BYTES + 2 * HALF, b"\xc4"))
    recorder = Recorder(folder, half_bytes=HALF)
    recorder._words[2], recorder._words[3] = lengths
    assert isinstance(recorder.unjudged(), list)
    recorder.record(frame(7))


def test_the_tail_is_judged_once_after_the_first_look(tmp_path: Path):
    """Nothing is due before the tracer has looked around; then the whole tail is, once."""
    recorder, heartbeat = Recorder(tmp_path), Heartbeat()
    recorder.record(frame(1))
    replay = Replay(recorder)
    heartbeat[Slot.TRACER_STARTS] = 1
    assert replay.due(heartbeat) == []
    heartbeat[Slot.TRACER_READY] = 1
    given_ = [replay.due(heartbeat) for _ in range(SETTLING_ROUNDS + 2)]
    assert given_[SETTLING_ROUNDS - 1][0] == executed(1)
    assert sum(map(bool, given_)) == 1


def test_a_tail_that_waits_is_not_taken_for_judged(tmp_path: Path):
    """New events before the replay do not move the mark: another kill must not lose the tail."""
    recorder, heartbeat = Recorder(tmp_path), Heartbeat()
    recorder.record(frame(1))
    replay = Replay(recorder)
    replay.judged(executed(9), None)
    assert Recorder(tmp_path).unjudged() == [executed(1)]
    heartbeat[Slot.TRACER_READY] = heartbeat[Slot.TRACER_STARTS] = 1
    while not (due := replay.due(heartbeat)):
        pass
    for event in due:
        replay.judged(event, None)
    assert Recorder(tmp_path).unjudged() == []


def test_the_mark_stays_before_what_is_held_back(tmp_path: Path):
    """An exec that waits for the file watch is not judged yet, whatever came after it."""
    recorder = Recorder(tmp_path)
    for number in (5, 6):
        recorder.record(frame(number))
    Replay(Recorder(tmp_path / "other")).judged(executed(6), None)
    replay = Replay(recorder)
    replay._tail = []
    replay.judged(executed(6), 5)
    assert recorder.unjudged() == [executed(5), executed(6)]


def test_processes_that_are_gone_are_said_to_have_ended():
    """Whose end is in the tail, or who lives still, is not ended twice."""
    with open("/proc/self/stat") as stat:
        ours = ProcessId(os.getpid(), int(stat.read().rpartition(")")[2].split()[19]))
    tail = [
        executed(1),
        executed(2),
        ProcessExited(3, executed(2).process),
        ProcessExecuted(4, ours),
        SightLost(5, "x", ""),
    ]
    assert unseen_ends(tail) == [ProcessExited(1, executed(1).process)]
