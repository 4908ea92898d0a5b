"""Processes of real containers, as the lookout tells of them."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from outrider_sidecar.clocks import started_at_ns
from outrider_sidecar.heartbeat import Slot
from outrider_sidecar.sensors.host import tell
from outrider_sidecar.sensors.host.facts import Match
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessId, ProcessStarted, SightLost

from .conftest import wait_until

PYTHON = [sys.executable, "-S", "-E", "-c"]
ENV = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": ""}


def by_process(events):
    return {event.process: event for event in events}


def test_tells_of_a_program_that_enters_a_container(container, look) -> None:
    """A first exec in a container is told whole, with no parent; its children are its own, and all ends are told."""
    looking = look()
    assert container.run("sh", "-c", "sleep 0.1; exit 3", env=ENV) == 3
    looking.end()
    first, child = looking.of(ProcessExecuted, container.mnt_ns)
    assert (first.parent, first.seen, first.sensor, first.missing) == (None, "exec", "connector", ())
    assert first.argv == ("sh", "-c", "sleep 0.1; exit 3")
    assert (first.uid, first.euid, first.cwd, first.env) == (0, 0, "/", {"LD_PRELOAD": ""} | first.env)
    assert container.id in first.cgroup
    assert (child.parent, child.argv, child.missing) == (first.process, ("sleep", "0.1"), ())
    assert abs(started_at_ns(child.process) - child.at_ns) < 50_000_000
    ends = {event.process: event.status for event in looking.of(ProcessExited)}
    assert ends == {first.process: 3 << 8, child.process: 0}
    starts = [event for event in looking.events if isinstance(event, ProcessStarted)]
    assert [(event.process, event.parent) for event in starts] == [
        (first.process, None),
        (child.process, first.process),
    ]


def test_says_nothing_of_the_machines_own_processes(container, look) -> None:
    """A program outside of every container is not told of, also not one in a mount namespace of its own."""
    looking = look()
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    container.run("sleep", "0.1")
    looking.end()
    assert {event.mnt_ns for event in looking.of(ProcessExecuted)} == {container.mnt_ns}


def test_a_mount_namespace_without_a_containers_cgroup_is_the_hosts_own(make_container, look) -> None:
    """A service with mounts of its own is no container; with guard_host it is told of, as are the host's processes."""
    service = make_container(in_cgroup=False)
    looking = look()
    service.run("sleep", "0.1")
    looking.end()
    assert looking.of(ProcessExecuted) == []
    looking = look(guard_host=True)
    service.run("sleep", "0.1")
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    looking.end()
    assert looking.executed("sleep", service.mnt_ns)
    own = next(event for event in looking.of(ProcessExecuted) if event.process.pid == pid)
    assert own.parent is not None
    assert own.parent.pid == os.getpid()
    assert own.mnt_ns == Path("/proc/self/ns/mnt").stat().st_ino


def test_never_tells_of_itself(look) -> None:
    """With guard_host, the lookout and its supervisor are left out."""
    looking = look(guard_host=True)
    looking.end()
    told = {event.process.pid for event in looking.of(ProcessStarted)}
    assert os.getpid() in told
    assert looking.lookout_pid not in told


def test_the_first_look_tells_of_what_runs_already(container, look) -> None:
    """Processes that run when the lookout begins are a snapshot, parents before children."""
    read_end, write_end = os.pipe()
    pid = container.spawn("sh", "-c", "sleep 100 & wait", stdin=read_end)
    wait_until(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text(), "the child")
    looking = look()
    os.write(write_end, b"\n\n")
    os.kill(pid, signal.SIGKILL)
    container.wait(pid)
    wait_until(lambda: looking.of(ProcessExited), "the end")
    looking.end()
    os.close(read_end)
    os.close(write_end)
    shell = next(event for event in looking.of(ProcessExecuted) if event.process.pid == pid)
    child = next(event for event in looking.of(ProcessExecuted) if event.parent == shell.process)
    assert (shell.seen, child.seen) == ("snapshot", "snapshot")


def test_what_a_thread_starts_is_the_processs_program(container, look) -> None:
    """An exec by another thread than the first is an exec of the process, and its end is told once."""
    looking = look()
    program = (
        "import os, threading\n"
        "thread = threading.Thread(target=lambda: os.execv('/bin/sh', ['sh', '-c', 'sleep 0.1; exit 4']))\n"
        "thread.start()\n"
        "thread.join()\n"
    )
    assert container.run(*PYTHON, program) == 4
    looking.end()
    first = looking.of(ProcessExecuted, container.mnt_ns)[0]
    programs = [e.argv[0] for e in looking.of(ProcessExecuted) if e.process == first.process]
    ends = [e.status for e in looking.of(ProcessExited) if e.process == first.process]
    assert (programs, ends) == ([sys.executable, "sh"], [4 << 8])


def test_a_process_outlives_its_first_thread(container, look) -> None:
    """A process whose first thread ends is told to have ended when the last one does."""
    looking = look()
    program = (
        "import ctypes, subprocess, threading, time\n"
        "def work():\n"
        "    time.sleep(0.3)\n"
        "    subprocess.run(['/bin/true'])\n"
        "threading.Thread(target=work).start()\n"
        "ctypes.CDLL(None).pthread_exit(0)\n"
    )
    container.run(*PYTHON, program)
    wait_until(lambda: len(looking.of(ProcessExited)) == 2, "both ends")
    looking.end()
    python, true = looking.of(ProcessExecuted, container.mnt_ns)
    assert true.parent == python.process
    ends = by_process(looking.of(ProcessExited))
    assert list(ends) == [true.process, python.process]


CHAINS = "for i in 1 2 3 4 5; do (exec env nice -n 0 env sh -c 'exit 5'); done; sleep 0.05"


@pytest.mark.parametrize("marks", [None, FileMarks])
def test_a_chain_of_execs_is_told_as_so_many(container, look, marks) -> None:
    """Programs that a process starts one after the other are all told of, and none is taken for another."""
    looking = look(marks=marks)
    assert container.run("sh", "-c", CHAINS) == 0
    looking.end()
    programs = ["env", "nice", "env", Path("/bin/sh").resolve().name]
    chains: dict[ProcessId, list[ProcessExecuted]] = {}
    for event in looking.of(ProcessExecuted, container.mnt_ns):
        chains.setdefault(event.process, []).append(event)
    assert sorted(map(len, chains.values())) == [1, 1] + [4] * 5
    for execs in (chain for chain in chains.values() if len(chain) == 4):
        told = [event.exe.path.rpartition("/")[2] for event in execs]
        assert [name or wanted for name, wanted in zip(told, programs, strict=True)] == programs
        assert execs[-1].argv == ("sh", "-c", "exit 5") or "argv" in execs[-1].missing


def test_who_enters_and_starts_another_program_at_once_is_known_by_what_it_runs(container, look, monkeypatch) -> None:
    """Its first start was of somebody who could not be placed; what it opened for that is no part of the second."""
    monkeypatch.setattr(FileMarks, "opened_in", lambda *_: 0)
    looking = look(marks=FileMarks)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the container")
    os.kill(looking.pid, signal.SIGSTOP)
    pid = container.spawn("sh", "-c", "exec sleep 100")
    wait_until(lambda: os.readlink(f"/proc/{pid}/exe").endswith("/sleep"), "the second program")
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
    time.sleep(0.1)
    os.kill(looking.pid, signal.SIGSTOP)
    os.write(write_end, b"\n")
    assert container.wait(pid) == 0
    os.kill(looking.pid, signal.SIGCONT)
    wait_until(lambda: looking.executed("true", container.mnt_ns), "its record")
    os.close(write_end)
    os.close(read_end)
    looking.end()


def test_a_fork_without_an_exec_is_told_with_its_end(container, look) -> None:
    """A child that starts nothing is told of with its parent, and so is its status."""
    looking = look()
    program = "import os\npid = os.fork()\nif not pid: os._exit(7)\nos.waitpid(pid, 0)"
    container.run(*PYTHON, program)
    looking.end()
    (python,) = looking.of(ProcessExecuted, container.mnt_ns)
    child = next(event for event in looking.of(ProcessStarted) if event.parent == python.process)
    assert child.mnt_ns == container.mnt_ns
    assert by_process(looking.of(ProcessExited))[child.process].status == 7 << 8


def test_a_lost_message_is_made_good_by_a_look(container, look) -> None:
    """Where the buffer is too small, that is told with a count, and who is left is found by looking."""
    looking = look(buffer_bytes=16 * 1024)
    os.kill(looking.pid, signal.SIGSTOP)
    for _ in range(60):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    read_end, write_end = os.pipe()
    container.spawn("cat", stdin=read_end)
    wait_until(lambda: os.readlink(f"/proc/{container.pids[0]}/exe").endswith("/cat"), "the program")
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
    wait_until(lambda: os.readlink(f"/proc/{missed}/exe").endswith("/sleep"), "the program")
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


def test_containers_come_and_go(make_container, look, tmp_path) -> None:
    """A container is one from its first process to its last, and its number may be another's afterwards."""
    marks = tmp_path / "marks"
    look(marks=lambda: WrittenMarks(marks))
    one, other = make_container(), make_container()
    for count, each in enumerate((one, other, one), 1):
        each.run("sleep", "0.05")
        wait_until(lambda: len(marks.read_text().splitlines()) == 2 * count, "the end")  # noqa: B023
    told = [(what, int(mnt_ns)) for what, mnt_ns in map(str.split, marks.read_text().splitlines())]
    assert told == [(what, each.mnt_ns) for each in (one, other, one) for what in ("add", "remove")]


class WrittenMarks:
    """A file watch that writes down which containers it is given."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, identify) -> None:
        self.path.touch()

    def filenos(self):
        return ()

    def write(self, what: str, mnt_ns: int) -> None:
        with self.path.open("a") as file:
            file.write(f"{what} {mnt_ns}\n")

    def add_container(self, mnt_ns: int, pid: int, baseline_ns: int) -> None:
        assert abs(time.time_ns() - baseline_ns) < 10_000_000_000
        self.write("add", mnt_ns)

    def remove_container(self, mnt_ns: int) -> None:
        self.write("remove", mnt_ns)

    def drain(self, emit, meanwhile=lambda: None) -> None:
        pass

    def opened_by(self, pid: int):
        return ()

    def opened_in(self, pid: int):
        return 0

    def forget(self, pid: int) -> None:
        pass


def test_ends_with_its_supervisor(connector) -> None:
    """A lookout whose supervisor is gone ends by itself."""
    from outrider_sidecar.heartbeat import Heartbeat
    from outrider_sidecar.sensors.attach import make_event_pipe
    from outrider_sidecar.sensors.host import LookoutOptions, run_lookout

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


STORM = """
import os, sys, time
began = time.perf_counter()
for number in range(int(sys.argv[1])):
    time.sleep(max(0, began + number / 1000 - time.perf_counter()))
    os.waitpid(os.posix_spawn("/bin/true", ["true", str(number)], {}), 0)
"""


def test_none_of_a_thousand_programs_a_second_is_missed(container, look) -> None:
    """Every start, program and end of a storm is told of once, in order, and with what was to be had of it."""
    looking = look()
    workers = [container.spawn(*PYTHON, STORM, "700") for _ in range(3)]
    for pid in workers:
        assert container.wait(pid) == 0
    looking.end()
    parents = {e.process for e in looking.of(ProcessExecuted) if e.process.pid in workers}
    programs = [e for e in looking.of(ProcessExecuted) if e.parent in parents]
    assert len(programs) == len({e.process for e in programs}) == 2100
    assert {e.exe.path.rpartition("/")[2] for e in programs} <= {"true", ""}
    assert {e.mnt_ns for e in programs} == {container.mnt_ns}
    told = {e.process for e in programs}
    assert sum(e.process in told for e in looking.of(ProcessStarted)) == 2100
    assert sum(e.process in told and e.status == 0 for e in looking.of(ProcessExited)) == 2100
    assert looking.of(SightLost) == []
    heartbeat = looking.heartbeat
    poor = sum(not e.exe.path for e in looking.of(ProcessExecuted))
    assert heartbeat[Slot.EXECS_POOR] == poor
    assert heartbeat[Slot.EXECS_SEEN] == len(looking.of(ProcessExecuted))


def test_a_debugger_may_trace_what_is_guarded(container, look) -> None:
    """Nobody is traced: a guarded program may ask for a tracer of its own."""
    looking = look()
    program = "import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0 else 1)"
    assert container.run(*PYTHON, program) == 0
    looking.end()
