"""Whatever happens to the sidecar's processes, the guarded program's results are right."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SHELL = Path(os.path.realpath("/bin/sh")).name
SPAWNER = textwrap.dedent("""
    import os, sys, time
    count, floor_s = int(sys.argv[1]), float(sys.argv[2])
    wrong, slowest, done, began = 0, 0.0, 0, time.monotonic()
    while done < count or time.monotonic() - began < floor_s:
        at = time.monotonic()
        read, write = os.pipe()
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"echo {done}; exit {done % 9}"], os.environ,
                             file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
        os.close(write)
        said = os.read(read, 100)
        os.close(read)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        wrong += said != b"%d\\n" % done or code != done % 9
        slowest = max(slowest, time.monotonic() - at)
        done += 1
    print(done, wrong, round(slowest, 3))
""")


def spawner(count: int, floor_s: float = 0.0) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", SPAWNER, str(count), str(floor_s)]


@contextmanager
def unguarded() -> Iterator[list[float]]:
    """The same beside it, under no guard: so long the slowest spawn takes on this machine. Filled in at the end."""
    slowest_s: list[float] = []
    with subprocess.Popen(spawner(20, 1.5), stdout=subprocess.PIPE, text=True) as process:
        yield slowest_s
        slowest_s.append(float(process.communicate(timeout=60)[0].split()[2]))


def kill_again_and_again(supervised, name, kills):
    for _ in range(kills):
        known = len(supervised.pids(name))
        supervised.send(name, signal.SIGKILL)
        supervised.until(lambda before=known: len(supervised.pids(name)) > before, f"a new {name}")
        time.sleep(0.03)  # let it get to work, so that the next kill strikes a tracer that holds somebody


def result(supervised):
    output, errors = supervised.process.communicate(timeout=100)
    assert supervised.process.returncode == 0, errors
    done, wrong, slowest = output.split()
    return int(done), int(wrong), float(slowest)


def test_killing_the_tracer_again_and_again_harms_nobody(supervise):
    """3,000 spawns are right while the tracer is killed 20 times, and the gap is told each time it is back."""
    supervised = supervise(*spawner(3000, 8.0))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    kill_again_and_again(supervised, "tracer", 20)
    done, wrong, _ = result(supervised)
    assert done >= 3000
    assert wrong == 0
    gaps = [event for event in supervised.events() if event["event"] == "SightLost"]
    assert any("tracer died" in str(event["reason"]) and event["since_ns"] for event in gaps)


@pytest.mark.slow
def test_a_hundred_kills_harm_nobody(supervise):
    """20,000 spawns are right while tracer and engine are killed a hundred times."""
    supervised = supervise(*spawner(20_000, 45.0))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    for _ in range(50):
        kill_again_and_again(supervised, "tracer", 1)
        kill_again_and_again(supervised, "engine", 1)
    done, wrong, _ = result(supervised)
    assert done >= 20_000
    assert wrong == 0


@pytest.mark.parametrize("name", ["tracer", "engine", "supervisor"])
def test_a_stopped_process_of_ours_delays_no_spawn_for_long(supervise, name):
    """With one of the three stopped no spawn waits over 500 ms for it, and every result is right."""
    supervised = supervise(*spawner(100, 1.5))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    with unguarded() as slowest_unguarded:
        supervised.send(name, signal.SIGSTOP)
        if name == "supervisor":  # it is killed by the tracer; the command goes on and its output is ours to read
            output, _ = supervised.process.communicate(timeout=60)
            assert supervised.process.returncode == -signal.SIGKILL
            _, wrong, slowest = output.split()
        else:
            _, wrong, slowest = result(supervised)
            assert len(supervised.pids(name)) > 1
    assert int(wrong) == 0
    assert float(slowest) - slowest_unguarded[0] < 0.5


@pytest.mark.parametrize("name", ["tracer", "engine"])
def test_a_process_of_ours_that_goes_on_in_time_is_left_alone(supervise, name):
    """Stopped for a moment and continued, and stopped again for good: it is the second stop that it is killed for."""
    supervised = supervise(*spawner(100, 1.5))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    supervised.send(name, signal.SIGSTOP)
    supervised.send(name, signal.SIGCONT)
    seen = len(supervised.events())
    supervised.until(lambda: len(supervised.events()) > seen + 20, "events of the same process")
    assert len(supervised.pids(name)) == 1
    with unguarded() as slowest_unguarded:
        supervised.send(name, signal.SIGSTOP)
        supervised.until(lambda: len(supervised.pids(name)) > 1, "a new one")
        _, wrong, slowest = result(supervised)
    assert int(wrong) == 0
    assert float(slowest) - slowest_unguarded[0] < 0.5


def test_killing_all_at_once_frees_the_command(supervise):
    """With supervisor, tracer and engine killed in one blow the command goes on to its right end."""
    supervised = supervise(*spawner(1000))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    for name in ("engine", "tracer", "supervisor"):
        supervised.send(name, signal.SIGKILL)
    output, _ = supervised.process.communicate(timeout=60)
    assert output.split()[:2] == ["1000", "0"]


def test_killing_the_supervisor_ends_its_children(supervise):
    """The tracer and the engine do not outlive the supervisor; the command does."""
    supervised = supervise(*spawner(500))
    supervised.until(lambda: supervised.saw(SHELL), "the first spawn")
    mine = supervised.pids("tracer") + supervised.pids("engine")
    supervised.send("supervisor", signal.SIGKILL)
    output, _ = supervised.process.communicate(timeout=60)
    assert output.split()[:2] == ["500", "0"]
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z" for pid in mine):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.01)


def state_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"
