"""Whatever happens to the gate, the engine and the supervisor, guarded programs start, soon, and are right."""

import random
import signal
import textwrap
import time

import pytest

SPAWNER = textwrap.dedent("""
    import os, shutil, sys, threading, time
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
    wrong, slowest, done, refused, made = 0, 0.0, 0, 0, 0
    while not over.is_set():
        if done % 10 == 0:
            shutil.copy("/bin/true", f"/box/new{made % 5}.part")
            os.rename(f"/box/new{made % 5}.part", f"/box/new{made % 5}")
            made += 1
        at = time.monotonic()
        program, words, wanted = f"/box/new{made % 5}", ["new"], 0
        if done % 2:
            program, words, wanted = "/bin/sh", ["sh", "-c", f"exit {done % 9}"], done % 9
        try:
            pid = os.posix_spawn(program, words, os.environ)
            wrong += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != wanted
        except PermissionError:
            refused += 1
            wrong += not words == ["new"]
        except FileNotFoundError:
            wrong += made > 5
        slowest = max(slowest, time.monotonic() - at)
        done += 1
    print(done, wrong, refused, round(slowest, 3))
""")
BUDGET_MS = 50
FREED_S = 1.0
"""A stopped process is killed after 250 ms, and a tick of the supervisor's; the rest is this machine's load."""


class Work:
    """Programs that are started inside, old and new by turns, one after the other."""

    def __init__(self, box) -> None:
        self._process = box.python(SPAWNER)

    def result(self) -> tuple[int, int, int, float]:
        """End it. How many were started, went wrong, were refused; and how long the slowest took, in seconds."""
        output, errors = self._process.communicate("over\n", timeout=120)
        assert self._process.returncode == 0, errors
        done, wrong, refused, slowest = output.split()
        return int(done), int(wrong), int(refused), float(slowest)


def strike_again_and_again(gated, name, kills, number=signal.SIGKILL):
    for number_of_kill in range(kills):
        denied = gated.counts()["denied"]
        if number_of_kill % 5 == 0:
            gated.until(lambda before=denied: gated.status["denied"] > before, "a refusal by the new one")
        time.sleep(random.uniform(0.0, 0.06))  # any moment: also while a question is pending
        gated.replace(name, number)


def kills_of(name, kills, box, gate):
    gated = gate(limit=1_000_000, busy_s=0.01, budget_ms=BUDGET_MS)
    work = Work(box)
    strike_again_and_again(gated, name, kills)
    done, wrong, refused, slowest = work.result()
    assert wrong == 0
    assert done > kills
    assert slowest < FREED_S
    assert refused > 0, "it refused nobody: the test shows nothing"
    return gated


@pytest.mark.parametrize("name", ["gate", "engine"])
def test_kill_at_any_moment_harms_nobody(name, box, gate):
    """Ten times each; questions are pending most of the time. What was refused before is refused again at the end."""
    gated = kills_of(name, 10, box, gate)
    refused_again(box, gated)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gate", "engine"])
def test_kill_at_a_hundred_moments_harms_nobody(name, box, gate):
    """The same, a hundred times."""
    refused_again(box, kills_of(name, 100, box, gate))


def refused_again(box, gated):
    """The new gate knows its containers, and the new engine its rules."""
    box.run("cp /bin/touch /box/evil")
    gated.until(lambda: "not permitted" in box.run("/box/evil /box/ran").stderr, "a refusal")


def test_a_stopped_gate_is_killed_and_frees_everybody(box, gate):
    """SIGSTOP with a question pending: the supervisor ends it, and the kernel lets go who waited."""
    gated = gate(limit=1_000_000, budget_ms=BUDGET_MS)
    work = Work(box)
    for _ in range(4):
        denied = gated.counts()["denied"]
        gated.until(lambda before=denied: gated.status["denied"] > before, "a refusal")
        gated.replace("gate", signal.SIGSTOP)
    gated.until(lambda: any("started anew" in loss for loss in gated.losses()), "the telling")
    _, wrong, refused, slowest = work.result()
    assert wrong == 0
    assert refused > 0
    assert slowest < FREED_S
    refused_again(box, gated)


def test_a_stopped_engine_costs_each_start_no_more_than_the_budget(box, gate):
    """New programs start undecided until the engine is replaced, and that is told."""
    gated = gate(limit=1_000_000, budget_ms=60)
    box.run("cp /bin/true /box/new")
    gated.send("engine", signal.SIGSTOP)
    began_s = time.monotonic()
    assert box.run("/box/new").returncode == 0
    assert time.monotonic() - began_s < FREED_S
    gated.until(gated.losses, "the telling")
    assert "budget of 60 ms" in gated.losses()[0]
    refused_again(box, gated)


def test_an_engine_that_is_late_is_not_waited_for(box, gate):
    """The budget runs out, the program starts, and both are told."""
    gated = gate(limit=1_000_000, budget_ms=20, busy_s=0.5)
    done = box.run("cp /bin/touch /box/new; for i in 1 2 3 4 5 6; do /box/new /box/ran; done; ls /box")
    assert "ran" in done.stdout.split()
    gated.until(gated.losses, "the telling")
    assert gated.counts()["late"] >= 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_a_supervisor_nobody_waits(number, box, gate):
    """Its end ends the gate, which also kills one that stands still; new programs start from then on."""
    gated = gate(budget_ms=500)
    box.run("cp /bin/true /box/new")
    assert box.run("/box/new").returncode == 126
    began_s = time.monotonic()
    gated.process.send_signal(number)
    while box.run("/box/new").returncode:
        assert time.monotonic() - began_s < 10, "the gate goes on"
    gate_pid = gated.pids("gate")[-1]
    assert gated.process.wait(10) < 0
    assert is_gone(gate_pid)


def is_gone(pid):
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_hundred_starts_at_once_are_all_answered(box, gate):
    """More than are decided at once, and more than the pair of sockets holds: each is refused or let go."""
    gated = gate(limit=1_000_000)
    script = "cp /bin/true /box/new; for i in $(seq 150); do (/box/new 2>/dev/null; echo $?) & done; wait"
    codes = box.run(script).stdout.split()
    assert len(codes) == 150
    assert set(codes) <= {"0", "126"}
    assert codes.count("126") > 0
    counts = gated.counts()
    assert counts["denied"] == codes.count("126")


def test_too_many_refusals_end_refusing_for_good(box, gate):
    """The fifth in a minute starts, as does everything after it, also under a new gate; a finding says so once."""
    gated = gate(limit=4)
    done = box.run("cp /bin/true /box/new; for i in 1 2 3 4 5 6; do /box/new 2>/dev/null; echo $?; done")
    assert done.stdout.split() == ["126"] * 4 + ["0"] * 2
    gated.until(lambda: gated.found("Outrider:Integrity/ResponseDisarmed"), "the finding")
    gated.replace("gate")
    gated.replace("engine")
    gated.until(lambda: gated.counts()["disarmed_ns"], "the ledger")
    assert box.run("/box/new").returncode == 0
    assert len(gated.found("Outrider:Integrity/ResponseDisarmed")) == 1
    assert gated.found("Outrider:Integrity/ResponseDisarmed")[0]["severity"] == "HIGH"
