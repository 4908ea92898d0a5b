"""Tasks of other shapes: several containers, visitors from outside, restarts, late sidecars, programs that hide."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from outrider_lab.settings import MAIN, SIDECAR, ContainerSettings, TaskSettings, guarded_task
from outrider_lab.task import Task
from outrider_wire.findings import Finding

pytestmark = pytest.mark.lab

NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
NEW_LIBRARY = "Execution:Runtime/NewLibraryLoaded"
FOUND_WITHIN_S = 20.0
ATTACK = "cp /bin/sleep /tmp/{0} && /tmp/{0} 0.1"
UNTRACED = """
import ctypes, os, platform, sys
number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
CLONE_UNTRACED, SIGCHLD = 0x00800000, 17
pid = ctypes.CDLL(None).syscall(number, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0)
if not pid:
    sys.stdin.read()
    os._exit(0)
print(f"pid={pid}", flush=True)
os.waitpid(pid, 0)
"""
"""The hidden child ends when standard input does."""


def settings(*others: ContainerSettings, **environment: str) -> TaskSettings:
    made = guarded_task(others=others)
    assert made.sidecar is not None
    return replace(made, sidecar=replace(made.sidecar, env=made.sidecar.env | environment))


def found(task: Task, wanted: Callable[[Finding], bool]) -> list[Finding]:
    """The findings that are wanted, waited for."""
    return [f for f in task.findings(lambda all_: any(map(wanted, all_)), timeout_s=FOUND_WITHIN_S) if wanted(f)]


@contextmanager
def lasting(task: Task, command: str, *, container: str = MAIN) -> Iterator[None]:
    """Something goes on in a container for as long as the block: who looks now and then is to come to see it."""
    argv = ["/bin/sh", "-c", f"({command}) & read -r _; kill -9 $!"]
    process = task.popen(argv) if container == MAIN else task.exec_popen(argv, container=container)
    try:
        yield
    finally:
        process.communicate(b"\n")


def program(name: str) -> Callable[[Finding], bool]:
    return lambda f: f.type == NEW_BINARY and f.process is not None and f.process.exe == f"/tmp/{name}"


def test_a_finding_is_of_the_container_it_happened_in():
    """Two containers of one task, one attack in each: each finding names its own."""
    with Task(settings(ContainerSettings(name="worker", command=("/bin/sleep", "60")))) as task:
        task.run(ATTACK.format("in-app"))
        task.exec(["/bin/sh", "-c", ATTACK.format("in-worker")], container="worker")
        for name, container in (("in-app", MAIN), ("in-worker", "worker")):
            (finding,) = found(task, program(name))
            assert finding.container is not None
            assert finding.container.name == container


def test_a_visitor_from_outside_is_seen(task):
    """A process that ECS Exec starts is no child of the entry point; what it starts is caught all the same."""
    task.exec(["/bin/sh", "-c", ATTACK.format("visitor")])
    (finding,) = found(task, program("visitor"))
    assert finding.container is not None
    assert finding.container.name == MAIN
    assert finding.process is not None
    assert finding.process.ancestry[0].name == "sh"


def test_a_restarted_container_is_guarded_again():
    """The container's restart takes its watches and processes away; its next life is guarded like the first."""
    with Task(guarded_task(ContainerSettings(name=MAIN, command=("/bin/sleep", "60")))) as task:
        task.control(MAIN, "restart")
        task.exec(["/bin/sh", "-c", ATTACK.format("second-life")])
        (finding,) = found(task, program("second-life"))
        assert finding.container is not None
        assert finding.container.name == MAIN


def test_a_late_sidecar_judges_what_it_finds():
    """The program was there first: what runs is judged from the snapshot, and drift by the container's creation."""
    main = ContainerSettings(name=MAIN, command=("/bin/sh", "-c", "cp /bin/sleep /tmp/early; exec /tmp/early 60"))
    with Task(replace(guarded_task(main), late_sidecar=True)) as task:
        task.wait_ready(timeout_s=10)
        (finding,) = found(task, program("early"))
        assert finding.process is not None
        assert finding.process.cmdline == "/tmp/early 60"


def test_a_process_that_hides_from_tracing_is_told(task):
    """CLONE_UNTRACED makes a child that no tracer gets: the pid watermark finds it, and nothing ordinary does so."""
    process = task.popen([sys.executable, "-c", UNTRACED])
    pid = int(process.read_line(b"pid="))
    (finding,) = found(task, lambda f: f.type == "Outrider:Integrity/UntracedChild")
    assert process.communicate().returncode == 0
    assert finding.process is not None
    assert finding.process.pid == pid


def test_a_preload_for_all_is_told(task):
    """A library named in /etc/ld.so.preload is told of when the next program starts."""
    preload = (
        'cp -L "$(ldconfig -p | sed -n "s/.*libz.so.1 .*=> //p" | head -n 1)" /usr/lib/evil.so;'
        " echo /usr/lib/evil.so > /etc/ld.so.preload; exec sleep 60"
    )
    try:
        with lasting(task, preload):
            assert found(task, lambda f: f.type == NEW_LIBRARY and f.evidence["library.path"] == "/usr/lib/evil.so")
    finally:
        task.run("rm /etc/ld.so.preload")


@pytest.mark.parametrize("tool", [["strace", "-f", "-o", "/dev/null"], ["gdb", "-q", "-batch", "-ex", "run", "--args"]])
def test_a_debugger_works_and_what_it_runs_is_still_seen(task, tool):
    """strace and gdb are let go of at their exec; their program runs, and is followed by polling."""
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    name = f"under-{tool[0]}"
    done = task.run(f"cp /bin/sleep /tmp/{name} && {' '.join(tool)} /tmp/{name} 0.1")
    assert done.returncode == 0, done.stderr
    with lasting(task, f"exec {' '.join(tool)} /tmp/{name} 60"):
        assert found(task, program(name))


def test_health_is_asked_by_exec(task):
    """The container's health check is a command, not a port."""
    health = [sys.executable, "-m", "outrider_cli.main", "health"]
    done = task.exec(health, container=SIDECAR)
    assert (done.returncode, done.stdout.strip()) == (0, b"well")


def test_without_tracing_polling_still_finds_what_lasts():
    """Tracing off altogether: programs that live longer than a poll are judged, and the log says who looks."""
    copied = "cp /bin/sleep /tmp/polled && exec /tmp/polled 60"
    with Task(settings(OUTRIDER_ATTACH="off")) as task, lasting(task, copied):
        assert found(task, program("polled"))


def test_a_container_that_is_left_untraced_is_polled():
    """`tracing_off` names a container: nobody there has a tracer, others have, and both are seen."""
    worker = ContainerSettings(name="worker", command=("/bin/sleep", "60"))
    with Task(settings(worker, OUTRIDER_TRACING_OFF="worker")) as task:
        status = "grep TracerPid /proc/self/status"
        assert task.exec(["/bin/sh", "-c", status], container="worker").stdout.split() == [b"TracerPid:", b"0"]
        assert task.run(status).stdout.split()[1] != b"0"
        with lasting(task, "cp /bin/sleep /tmp/loose && exec /tmp/loose 60", container="worker"):
            (finding,) = found(task, program("loose"))
        assert finding.container is not None
        assert finding.container.name == "worker"
