"""Outrider in a network of its own, as a Managed Daemon's task may be: the machine's network is the machine's."""

import json
import os
import subprocess
import sys
import threading

import pytest
from many_networks import CLIENT, LISTENER, Seen, until

from outrider_sidecar.linux.netns import network_of, own_network
from outrider_sidecar.linux.procfs import read_stat
from outrider_sidecar.modes import network
from outrider_sidecar.modes.choice import is_on_host
from outrider_sidecar.modes.network import find_host_network
from outrider_sidecar.sensors.namespaces import NamespaceSensor
from outrider_wire.events import ConnectionOpened

FIND = """
import json
from outrider_sidecar import log
from outrider_sidecar.linux.netns import own_network
from outrider_sidecar.modes.choice import is_on_host
from outrider_sidecar.modes.network import find_host_network
log.start_logging()
found = find_host_network(on_host=is_on_host())
print(json.dumps({"found": found.net_ns, "pid": found.pid, "own": own_network(), "on_host": is_on_host()}))
"""


def find_in(*unshare):
    """What is found by a process in namespaces of its own, and what it says."""
    command = ["unshare", *unshare, sys.executable, "-c", FIND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip(f"namespaces of one's own are not to be had here: {done.stderr}")
    return json.loads(done.stdout), done.stderr


def test_in_a_network_of_ones_own_the_machines_is_that_of_its_first_processes():
    """The daemon shares the machine's processes, not its network: that of process 1 is the machine's."""
    machines = network_of(1) or network_of(2)
    if not is_on_host() or not machines:
        pytest.skip("the machine's own processes are not seen here")
    found, said = find_in("--net")
    assert found["on_host"] and found["found"] == machines != found["own"]
    assert found["pid"] in (1, 2) and not said


def test_where_processes_are_ones_own_the_network_is_too_and_that_is_said():
    """Process 1 is not the machine's there: its network says nothing of the machine."""
    found, said = find_in("--net", "--pid", "--fork", "--mount-proc")
    assert not found["on_host"] and found["found"] == found["own"]
    assert "the processes seen here are not the machine's" in said


def test_a_first_process_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    """Ours is taken then, with what would help; and the kernel's first is asked where init may not be read."""
    said = []
    monkeypatch.setattr(network, "say", lambda text, **facts: said.append((text, facts)))
    (tmp_path / "thread-self/ns").mkdir(parents=True)
    (tmp_path / "thread-self/ns/net").touch()
    own = os.stat(tmp_path / "thread-self/ns/net").st_ino
    assert find_host_network(on_host=True, proc=tmp_path) == (own, os.getpid())
    assert "may not be read" in said[0][0] and said[0][1]["remedy"]
    (tmp_path / "2/ns").mkdir(parents=True)
    (tmp_path / "2/ns/net").touch()
    assert find_host_network(on_host=True, proc=tmp_path) == (os.stat(tmp_path / "2/ns/net").st_ino, 2)
    assert len(said) == 1


def test_only_the_guarded_are_told_of_in_the_machines_network(fresh):
    """The machine's own daemons are not told of, though its network is not ours; in ours everybody is."""
    host, world, daemon = fresh(), fresh(), fresh()
    host.run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", str(world.pid))
    for room, device, address in ((host, "out0", "10.91.0.1/24"), (world, "eth0", "10.91.0.2/24")):
        room.run("ip", "addr", "add", address, "dev", device)
        room.run("ip", "link", "set", device, "up")
    world.python(LISTENER, "10.91.0.2", "6041")
    daemon.python(LISTENER, "127.0.0.1", "6042")
    guarded, stop, started, boxes = set(), threading.Event(), threading.Event(), []

    def run():
        sensor = NamespaceSensor(guarded=guarded.__contains__, host_pid=host.pid)
        assert own_network() == network_of(daemon.pid)
        for room in (host, daemon):
            sensor.follow(network_of(room.pid), room.pid)
        boxes.append(Seen(sensor))
        started.set()
        sensor.run(boxes[0].queue.put, stop)

    thread = daemon.in_thread(run)
    try:
        assert started.wait(10)
        (seen,) = boxes
        until(lambda: len(seen.sensor.networks) == 2)
        stranger = host.python(CLIENT, "10.91.0.2", "6041")
        member = host.python("print('here'); import sys; sys.stdin.readline()" + CLIENT, "10.91.0.2", "6041")
        guarded.add(member.pid)
        member.stdin.write("go\n")
        member.stdin.flush()
        told = seen.wait_for(ConnectionOpened, net_ns=network_of(host.pid), answered=True)
        assert told.owner == read_stat(member.pid).process
        neighbour = daemon.python(CLIENT, "127.0.0.1", "6042")
        seen.wait_for(ConnectionOpened, net_ns=network_of(daemon.pid), owner=read_stat(neighbour.pid).process)
        owners = {event.owner.pid for event in seen.all(ConnectionOpened, net_ns=network_of(host.pid))}
        assert owners == {member.pid} != {stranger.pid}
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
