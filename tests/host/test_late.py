"""What the lookout makes of what it was not there for: it stood still, lost messages, or is the second one."""

import os
import signal
import time

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.sensors.attach import make_event_pipe
from outrider_sidecar.sensors.host import LookoutOptions, run_lookout, tell
from outrider_sidecar.sensors.host.census import NEAR_NS
from outrider_sidecar.sensors.host.facts import Match
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_wire.events import ProcessExecuted, ProcessExited, SightLost

from .conftest import is_running, wait_until


def test_who_enters_and_starts_another_program_at_once_is_known_by_what_it_runs(container, look, monkeypatch) -> None:
    """Its first start was of somebody who could not be placed; what it opened for that is no part of the second."""
    monkeypatch.setattr(FileMarks, "opened_in", lambda *_: 0)
    looking = look(marks=FileMarks)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the container")
    looking.wait_for_marks(container.mnt_ns)
    os.kill(looking.pid, signal.SIGSTOP)
    pid = container.spawn("sh", "-c", "exec sleep 100")
    wait_until(lambda: is_running(pid, "sleep"), "the second program")
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: [event for event in looking.of(ProcessExecuted) if event.process.pid == pid], "its record")
    os.kill(pid, signal.SIGTERM)
    container.wait(pid)
    os.close(write_end)
    os.close(read_end)
    looking.end()
    told = [event for event in looking.of(ProcessExecuted) if event.process.pid == pid]
    assert [event.argv for event in told] == [("sleep", "100")], told


def test_who_enters_and_is_gone_is_placed_by_where_he_opened_his_program(container, look) -> None:
    """Also a program of the image, whose files are on another device than the container's root."""
    assert os.stat(f"/proc/{container.keeper}/root").st_dev != os.stat(f"/proc/{container.keeper}/root/bin/true").st_dev
    looking = look(marks=FileMarks)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the container")
    looking.wait_for_marks(container.mnt_ns)
    os.kill(looking.pid, signal.SIGSTOP)
    assert container.run("true") == 0
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: looking.executed("true", container.mnt_ns), "its record")
    os.close(write_end)
    os.close(read_end)
    looking.end()


def test_who_is_older_than_the_watch_is_known_by_what_he_alone_can_have_opened(container, look) -> None:
    """A program is told of that is over before it is looked at, also where its process is older than the marks."""
    looking = look(marks=FileMarks)
    read_end, write_end = os.pipe()
    pid = container.spawn("sh", "-c", "read _; exec true", stdin=read_end)
    wait_until(lambda: [event for event in looking.of(ProcessExecuted) if event.process.pid == pid], "the container")
    looking.wait_for_marks(container.mnt_ns)
    time.sleep(5 * NEAR_NS / 1e9)  # what it opened before is over, for those who compare times
    os.kill(looking.pid, signal.SIGSTOP)
    os.write(write_end, b"\n")
    assert container.wait(pid) == 0
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: looking.executed("true", container.mnt_ns), "its record")
    os.close(write_end)
    os.close(read_end)
    looking.end()


def test_a_lost_message_is_made_good_by_a_look(container, look) -> None:
    """Where the buffer is too small, that is told with a count, and who is left is found by looking."""
    looking = look(buffer_bytes=16 * 1024)
    os.kill(looking.pid, signal.SIGSTOP)
    for _ in range(60):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: is_running(container.pids[0], "cat"), "the program")
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the program that was missed")
    pid = container.pids[0]
    os.kill(looking.pid, signal.SIGSTOP)
    os.close(write_end)
    for _ in range(60):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    assert container.wait(pid) == 0
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: looking.of(ProcessExited), "the end that was missed")
    looking.end()
    os.close(read_end)
    lost = looking.of(SightLost)
    assert lost
    assert all(event.lost and event.sense == "process" and 0 < event.since_ns <= event.at_ns for event in lost)
    assert sum(event.lost for event in lost) == looking.heartbeat[Slot.EVENTS_LOST]
    assert looking.executed("cat")[0].seen == "found"


def test_what_was_told_wrongly_of_one_who_lives_is_corrected_by_a_look(container, look, monkeypatch) -> None:
    """A start that was not believed is told of again, once, by what the process is then found to run."""
    monkeypatch.setattr(tell, "match_opened", lambda *_, **__: Match(is_believed=False))
    looking = look(marks=FileMarks, sweep_s=0.2)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the container")
    pid = container.spawn("sleep", "100")

    def told() -> list[tuple[str, bool]]:
        mine = [event for event in looking.of(ProcessExecuted) if event.process.pid == pid]
        return [(event.exe.path.rpartition("/")[2], bool(event.argv)) for event in mine]

    wait_until(lambda: ("sleep", True) in told(), "the correction")
    container.spawn("sleep", "101")
    wait_until(lambda: len(looking.executed("sleep", container.mnt_ns)) == 2, "a later look")
    os.close(write_end)
    os.close(read_end)
    looking.end()
    assert told() == [("", False), ("sleep", True)]


def test_a_new_lookout_tells_of_what_the_dead_one_missed(container, look) -> None:
    """A lookout that is killed harms nobody; its successor tells of what runs by then, and goes on."""
    looking = look()
    read_end, write_end = os.pipe()
    first = container.spawn("head", "-n1", stdin=read_end)
    wait_until(lambda: looking.executed("head"), "the first program")
    looking.end(signal.SIGKILL)
    missed = container.spawn("sleep", "100")
    wait_until(lambda: is_running(missed, "sleep"), "the program")
    again = look(heartbeat=looking.heartbeat, generation=2)
    assert {e.process.pid for e in again.of(ProcessExecuted, container.mnt_ns)} == {first, missed}
    assert {e.seen for e in again.of(ProcessExecuted, container.mnt_ns)} == {"found"}
    assert again.executed("head")[0].process == looking.executed("head")[0].process
    os.write(write_end, b"\n")
    assert container.wait(first) == 0
    os.kill(missed, signal.SIGTERM)
    assert container.wait(missed) == -signal.SIGTERM
    wait_until(lambda: len(again.of(ProcessExited)) == 2, "the ends")
    again.end()
    os.close(read_end)
    os.close(write_end)


def test_a_new_engine_is_told_of_everybody_again(container, look) -> None:
    """When the engine has started anew, all that run are told of as found, with their container's cgroup."""
    looking = look()
    container.spawn("sleep", "100")
    wait_until(lambda: looking.executed("sleep"), "the program")
    looking.heartbeat[Slot.ENGINE_STARTS] += 1
    wait_until(lambda: len(looking.executed("sleep")) == 2, "the program again")
    first, second = looking.executed("sleep")
    assert (second.seen, second.process, container.id in second.cgroup) == ("found", first.process, True)


def test_ends_with_its_supervisor(connector) -> None:
    """A lookout whose supervisor is gone ends by itself."""
    heartbeat, (read_end, write_end) = Heartbeat(), make_event_pipe()
    told_read, told_write = os.pipe()
    middle = os.fork()
    if not middle:
        child = os.fork()
        if not child:
            try:
                os.close(told_read)
                run_lookout(LookoutOptions(), write_end, heartbeat, supervisor_pid=os.getppid())
                os.write(told_write, b"ended")
            finally:
                os._exit(0)
        wait_until(lambda: heartbeat[Slot.TRACER_READY], "the lookout")
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(told_write)
    assert os.read(told_read, 16) == b"ended"
    for fd in (told_read, read_end, write_end):
        os.close(fd)
