"""A lab's container instance has the shape of an EC2 one: tasks apart, one host process beside them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from outrider_lab.host.lab import HostedTask, HostLab
from outrider_lab.host.machine import free_port
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.settings import ContainerSettings

pytestmark = pytest.mark.lab

STAND_IN = ("/bin/sh", "-c", 'env >"$OUTRIDER_JOURNAL_DIR/env"; touch "$OUTRIDER_JOURNAL_DIR/ready"; sleep 1000')
SIDE = ContainerSettings(name="side", command=("/bin/sleep", "1000"))
NETWORKS = ("awsvpc", "bridge", "host")


@pytest.fixture(scope="module")
def lab(lab_machine: None) -> Iterator[HostLab]:
    """A task of two containers in each network mode, and a program that stands for Outrider."""
    tasks = tuple(HostTaskSettings(family=f"in-{name}", network=name, others=(SIDE,)) for name in NETWORKS)
    with HostLab(HostSettings(tasks=tasks, command=STAND_IN)) as made:
        yield made


def read_json(lab: HostLab, path: str) -> dict:
    done = subprocess.run(["curl", "-sf", lab.facts["agent_uri"] + path], capture_output=True, check=True)
    return json.loads(done.stdout)


def namespace(task: HostedTask, kind: str, container: str = "app") -> str:
    return os.readlink(f"/proc/{task.processes(container)[0].pid}/ns/{kind}")


def environment(lab: HostLab) -> dict[str, str]:
    lines = (lab.journal / "env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_the_host_process_is_in_the_machines_own_namespaces(lab: HostLab):
    """Its PID, network and mount namespaces are ours, and its kernel's end is tied to the keeper's."""
    pid = lab.outrider_pids()[0]
    for kind in ("pid", "net", "mnt"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/self/ns/{kind}")
    assert lab.ready


def test_the_host_process_is_told_where_things_are(lab: HostLab):
    """Mode, agent and collector on loopback, and a journal in the lab's own folder that it can write to."""
    told = environment(lab)
    assert told["OUTRIDER_MODE"] == "host"
    assert told["OUTRIDER_AGENT_URI"].startswith("http://127.0.0.1:")
    assert told["OUTRIDER_COLLECTOR_URL"].startswith("http://127.0.0.1:")
    assert told["OUTRIDER_JOURNAL_DIR"].startswith(f"/proc/{lab.supervisor_pid}/root/")


def test_containers_share_no_pid_namespace(lab: HostLab):
    """Each container's program is the first process of a namespace of its own."""
    found = {namespace(task, "pid", name) for task in lab.tasks for name in ("app", "side")}
    assert len(found) == 2 * len(NETWORKS)
    assert all(task.processes()[0].task_pid == 1 for task in lab.tasks)


def test_networks_are_shared_as_the_mode_says(lab: HostLab):
    """`awsvpc` shares one namespace within the task, `bridge` none, `host` the machine's own."""
    awsvpc, bridge, host = lab.tasks
    assert namespace(awsvpc, "net") == namespace(awsvpc, "net", "side")
    assert namespace(bridge, "net") != namespace(bridge, "net", "side")
    assert namespace(host, "net") == namespace(host, "net", "side") == os.readlink("/proc/self/ns/net")
    assert len({namespace(task, "net") for task in lab.tasks}) == len(NETWORKS)


def test_cgroup_paths_name_task_and_container(lab: HostLab):
    """The path ends in /ecs/<task>/<64 hexadecimal digits>, with the ids that the agent gives."""
    for task in lab.tasks:
        listing = task.run("cat /proc/self/cgroup").stdout.decode()
        found = set(re.findall(r"/ecs/([0-9a-f]{32})/([0-9a-f]{64})$", listing, re.MULTILINE))
        assert found == {(task.id, task.facts["id:app"])}


def test_the_agent_tells_of_its_tasks(lab: HostLab):
    """/v1/metadata names the cluster, /v1/tasks each task with its containers, and one of them when asked for."""
    assert read_json(lab, "/v1/metadata")["Cluster"] == lab.facts["cluster"]
    told = {task["Arn"]: task for task in read_json(lab, "/v1/tasks")["Tasks"]}
    assert set(told) == {task.arn for task in lab.tasks}
    for task in lab.tasks:
        document = told[task.arn]
        assert (document["Family"], document["KnownStatus"]) == (task.settings.family, "RUNNING")
        ids = {one["Name"]: one["DockerId"] for one in document["Containers"]}
        assert ids == {name: task.facts[f"id:{name}"] for name in ("app", "side")}
        assert read_json(lab, f"/v1/tasks?dockerid={ids['side']}")["Arn"] == task.arn


def test_an_agent_may_be_down_for_a_while(lab: HostLab):
    """Stopped, it refuses; started, it answers at the same address."""
    lab.control("agent", "stop")
    with pytest.raises(subprocess.CalledProcessError):
        read_json(lab, "/v1/metadata")
    lab.control("agent", "start")
    assert read_json(lab, "/v1/metadata")


@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=NETWORKS)
def test_peers_are_reached_and_names_resolve(lab: HostLab, number: int):
    """A listener beside the task is found at the attacker's address; any name has an address that refuses."""
    task = lab.tasks[number]
    port = free_port()
    server = f"socket.create_server(({task.attacker!r}, {port}))"
    script = f"import socket; s = {server}; print('listening', flush=True); s.accept()[0].sendall(b'hello')"
    argv = [sys.executable, "-c", script]
    with task.beside_popen(argv) as peer:
        peer.read_until(b"listening\n")
        assert task.run(f"timeout 5 bash -c 'head -n 1 </dev/tcp/{task.attacker}/{port}'").stdout == b"hello"
    answer = task.run("getent ahostsv4 anything.example").stdout.decode()
    assert answer.startswith("127.66.0." if task.settings.network == "host" else "192.0.2.")
    assert b"refused" in task.run(f"timeout 5 bash -c '</dev/tcp/{answer.split()[0]}/81'").stderr


def test_a_task_comes_and_goes(lab: HostLab):
    """Started while others run, it is listed; stopped, it leaves no process, cgroup, mount or listing."""
    task = lab.start_task(HostTaskSettings(family="brief", network="bridge"))
    assert task.run("echo here").stdout == b"here\n"
    before = {one["Arn"] for one in read_json(lab, "/v1/tasks")["Tasks"]}
    lab.stop_task(task)
    after = {one["Arn"] for one in read_json(lab, "/v1/tasks")["Tasks"]}
    assert before - after == {task.arn}
    assert task.processes() == []
    with open(f"/proc/{lab.supervisor_pid}/mountinfo") as mounts:
        assert task.id not in mounts.read()
    assert task not in lab.tasks


def test_docker_names_its_cgroups_its_own_way(lab: HostLab):
    """A container that is no task of ECS lies below /docker, and the agent does not know it."""
    task = lab.start_task(HostTaskSettings(cgroup="docker", listed=False))
    try:
        assert re.search(r"/docker/[0-9a-f]{64}$", task.run("cat /proc/self/cgroup").stdout.decode(), re.MULTILINE)
        assert task.arn not in {one["Arn"] for one in read_json(lab, "/v1/tasks")["Tasks"]}
    finally:
        lab.stop_task(task)


def test_a_dead_host_process_is_started_again(lab: HostLab):
    """As systemd does: after a moment, and what the dead one left behind was reaped."""
    before = lab.kill_outrider()
    assert before
    deadline_s = time.monotonic() + 5
    while not lab.outrider_pids() or set(lab.outrider_pids()) & set(before):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert lab.wait_ready()


def test_the_collector_is_on_loopback(lab: HostLab):
    """It answers whoever holds the token."""
    assert lab.findings() == []
