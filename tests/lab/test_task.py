"""A lab task has the shape of a Fargate task."""

import json
import re
from pathlib import Path

import pytest

from outrider_lab import network
from outrider_lab.settings import SIDECAR
from outrider_lab.task import LabError, Task

pytestmark = pytest.mark.lab

ECS_CAPABILITIES_MASK = 0x00000000A80425FB
SYS_PTRACE = 1 << 19


def capabilities(status: bytes) -> int:
    found = re.search(rb"CapEff:\s*([0-9a-f]+)", status)
    assert found
    return int(found[1], 16)


def test_pause_is_the_first_process(task: Task):
    """PID 1 of the task is the pause process, and both containers see it."""
    assert task.run("tr '\\0' ' ' </proc/1/cmdline").stdout == b"sleep infinity "
    assert task.exec(["cat", "/proc/1/comm"], container=SIDECAR).stdout == b"sleep\n"


def test_pid_and_network_namespaces_are_shared_and_others_are_not(task: Task):
    """Both containers have one PID and one network namespace, and each its own mount, uts and ipc namespaces."""
    kinds = ("pid", "net", "mnt", "uts", "ipc")
    line = ["sh", "-c", "for kind in pid net mnt uts ipc; do readlink /proc/self/ns/$kind; done"]
    ours, theirs = task.exec(line).stdout.split(), task.exec(line, container=SIDECAR).stdout.split()
    assert [kind for kind, a, b in zip(kinds, ours, theirs, strict=True) if a == b] == ["pid", "net"]


def test_capabilities_are_ecs_defaults_and_ptrace_for_the_sidecar_alone(task: Task):
    """The guarded container has ECS's fourteen capabilities, the sidecar SYS_PTRACE besides."""
    assert capabilities(task.run("cat /proc/self/status").stdout) == ECS_CAPABILITIES_MASK
    in_sidecar = task.exec(["cat", "/proc/self/status"], container=SIDECAR).stdout
    assert capabilities(in_sidecar) == ECS_CAPABILITIES_MASK | SYS_PTRACE


def test_seccomp_is_on_and_new_privileges_are_allowed(task: Task):
    """A filter is in force in both, and set-uid programs work, as on ECS."""
    for container in ("app", SIDECAR):
        status = task.exec(["cat", "/proc/self/status"], container=container).stdout
        assert b"Seccomp:\t2" in status
        assert b"NoNewPrivs:\t0" in status


@pytest.mark.parametrize("line", ["mount -t tmpfs none /tmp", "unshare -U true", "unshare -n true", "dmesg"])
def test_the_profile_refuses_what_dockers_does(task: Task, line: str):
    """Mounting, new namespaces and the kernel's log are refused."""
    done = task.run(line)
    assert done.returncode != 0
    assert b"permitted" in done.stderr or b"denied" in done.stderr


def test_cgroup_paths_name_the_containers(task: Task):
    """The cgroup of each process ends in /ecs/<task>/<container>, with the ids the metadata endpoint gives."""
    listing = task.run("cat /proc/self/cgroup").stdout.decode()
    found = set(re.findall(r"/ecs/([0-9a-f]{32})/([0-9a-f]{32}-[0-9]{10})$", listing, re.MULTILINE))
    assert found == {(task.facts["task"], task.facts["id:app"])}


def test_the_metadata_endpoint_knows_who_asks(task: Task):
    """Each container's own address gives its own document, and /task both, with real times."""
    asked = task.run('curl -s "$ECS_CONTAINER_METADATA_URI_V4" && curl -s "$ECS_CONTAINER_METADATA_URI_V4/task"')
    decoder = json.JSONDecoder()
    own, end = decoder.raw_decode(asked.stdout.decode())
    whole, _ = decoder.raw_decode(asked.stdout.decode(), end)
    assert own["DockerId"] == task.facts["id:app"]
    assert whole["TaskARN"] == task.facts["arn"]
    assert {container["Name"] for container in whole["Containers"]} == {"app", SIDECAR}
    assert all("CreatedAt" in container for container in whole["Containers"])


def test_names_resolve_and_lead_nowhere(task: Task):
    """Any name has an address of a documentation range, a connection to it is refused, and there is no way out."""
    assert task.run("getent ahostsv4 anything.example").stdout.startswith(b"192.0.2.")
    refused = task.run("bash -c '</dev/tcp/192.0.2.9/80'")
    assert b"refused" in refused.stderr
    out = task.run("bash -c '</dev/tcp/1.0.0.1/80'")
    assert b"unreachable" in out.stderr


def test_the_guarded_container_sees_the_machine_and_cannot_write_to_it(task: Task):
    """Files written in the task are gone with it, and its /tmp begins empty."""
    done = task.run("touch /usr/bin/written-in-lab && ls /tmp | wc -l && test -x /usr/bin/env && echo seen")
    assert done.stdout.split()[-1] == b"seen"
    assert not Path("/usr/bin/written-in-lab").exists()


def test_the_sidecars_root_is_read_only_but_for_its_journal(task: Task):
    """The sidecar writes to its journal and to /tmp, and nowhere else; the guarded container has no journal."""
    done = task.exec(["sh", "-c", "touch /outrider/a /tmp/b; touch /usr/c"], container=SIDECAR)
    assert b"Read-only file system" in done.stderr
    assert (task.journal / "a").exists()
    assert task.run("test -e /outrider/a").returncode == 1
    assert (task.journal.stat().st_mode & 0o777) == 0o700


def test_exec_comes_from_outside_and_run_from_the_entry_point(task: Task):
    """`exec` makes a process without a parent in the task, `run` a descendant of the container's first process."""
    outside = task.exec(["sh", "-c", "ps -o ppid= -p $$"]).stdout
    assert int(outside) == 0
    first = next(process.task_pid for process in task.processes() if process.argv == ("/bin/sh",))
    chain = task.run("ps -o pid=,ppid= -e").stdout.decode()
    assert re.search(rf"^\s*\d+\s+{first}$", chain, re.MULTILINE)


def test_exit_codes_and_input_pass_through(task: Task):
    """A program's input, output and exit code are its own, also where a signal ended it."""
    done = task.run("cat; exit 7", stdin=b"to be read")
    assert (done.returncode, done.stdout) == (7, b"to be read")
    assert task.exec(["sh", "-c", "kill -9 $$"]).returncode == 137


def test_what_cannot_run_says_why(task: Task):
    """A program that is not there is an error with runc's own words, and the task goes on."""
    with pytest.raises(LabError, match="no-such-program"):
        task.exec(["/no-such-program"])
    assert task.run("true").returncode == 0


def test_a_peer_beside_the_task_is_reached(task: Task):
    """A listener beside the task is found at the attackers' address."""
    with task.beside_popen(["nc.traditional", "-l", "-p", "4001", "-s", network.ATTACKER_ADDRESS]) as peer:
        visit = f"echo hello | nc.traditional -w 1 {network.ATTACKER_ADDRESS} 4001"
        task.run(f"for i in 1 2 3 4 5 6 7 8 9; do {visit} && break; sleep 0.1; done")
        peer.wait()
        assert peer.output == b"hello\n"
