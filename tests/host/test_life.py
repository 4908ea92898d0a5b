"""Processes of real containers, as the lookout tells of them."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from outrider_sidecar.clocks import started_at_ns
from outrider_sidecar.heartbeat import Slot
from outrider_sidecar.sensors.host.marks import FileMarks
from outrider_wire.events import ProcessExecuted, ProcessExited, ProcessId, ProcessStarted, SightLost

from .conftest import is_running, wait_until

PYTHON = [sys.executable, "-S", "-E", "-c"]
GRAIN_NS = 20_000_000
"""A process's start is told in ticks of ten milliseconds."""
ENV = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": ""}


def by_process(events):
    return {event.process: event for event in events}


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


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
    ends = by_process(looking.of(ProcessExited))
    assert {process: end.status for process, end in ends.items()} == {first.process: 3 << 8, child.process: 0}
    assert first.at_ns - GRAIN_NS < started_at_ns(child.process) < child.at_ns + GRAIN_NS
    assert child.at_ns + 100_000_000 < ends[child.process].at_ns < ends[first.process].at_ns
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
    wait_until(lambda: any(is_running(child, "sleep") for child in children_of(pid)), "the child")
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
    starts = [e for e in looking.of(ProcessExecuted) if e.seen == "exec"]  # a look may tell of somebody again, as found
    assert looking.heartbeat[Slot.EXECS_POOR] == sum(not e.exe.path for e in starts)
    assert looking.heartbeat[Slot.EXECS_SEEN] == len(starts)


def test_a_debugger_may_trace_what_is_guarded(container, look) -> None:
    """Nobody is traced: a guarded program may ask for a tracer of its own."""
    looking = look()
    program = "import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0 else 1)"
    assert container.run(*PYTHON, program) == 0
    looking.end()
