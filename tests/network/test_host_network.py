"""A host's own network: a bridge with a container on it, translated addresses, and a container of host network mode."""

import os
import shutil
import threading
import time

import pytest
from many_networks import CLIENT, LISTENER, Seen, until

from outrider_sidecar.linux.netns import network_of
from outrider_sidecar.linux.procfs import read_stat
from outrider_sidecar.sensors import sieve
from outrider_sidecar.sensors.namespaces import NamespaceSensor
from outrider_wire.events import ConnectionOpened, NameQueried, SightLost

ASK = """
import socket, sys
question = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4pool\\7example\\0\\0\\1\\0\\1"
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.sendto(question, (sys.argv[1], 53))
print("asked")
sys.stdin.readline()
"""


class Host:
    """`host`: a bridge (172.30.0.1) with `guest` (172.30.0.2) on it, and a link (10.90.0.1) to `world` (10.90.0.2)."""

    def __init__(self, make):
        self.host, self.guest, self.world = make(), make(), make()
        run = self.host.run
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "eth0", "netns", str(self.guest.pid))
        run("ip", "link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", str(self.world.pid))
        run("ip", "link", "set", "port0", "master", "br0", "up")
        for room, device, address in (
            (self.host, "br0", "172.30.0.1/24"),
            (self.host, "out0", "10.90.0.1/24"),
            (self.guest, "eth0", "172.30.0.2/24"),
            (self.world, "eth0", "10.90.0.2/24"),
        ):
            room.run("ip", "addr", "add", address, "dev", device)
            room.run("ip", "link", "set", device, "up")
        self.guest.run("ip", "route", "add", "default", "via", "172.30.0.1")
        run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "172.30.0.0/24", "!", "-o", "br0", "-j", "MASQUERADE")
        run(
            *("iptables", "-t", "nat", "-A", "PREROUTING", "-i", "out0", "-p", "tcp", "--dport", "8080"),
            *("-j", "DNAT", "--to-destination", "172.30.0.2:80"),
        )


@pytest.fixture
def host(fresh):
    """Made for each test, of namespaces that go with it."""
    if shutil.which("iptables") is None:
        pytest.skip("not installed: iptables")
    return Host(fresh)


@pytest.fixture
def watching_host(host):
    """A sensor whose own network is the host's, and which follows it and the guest's."""
    ends = []

    def start(**options):
        made, stop, boxes = threading.Event(), threading.Event(), []

        def run():
            sensor = NamespaceSensor(**options)
            for room in (host.host, host.guest):
                sensor.follow(network_of(room.pid), room.pid)
            boxes.append(Seen(sensor))
            made.set()
            sensor.run(boxes[0].queue.put, stop)

        thread = host.host.in_thread(run)
        ends.append((stop, thread))
        assert made.wait(10)
        until(lambda: len(boxes[0].sensor.networks) == 2)
        return boxes[0]

    yield start
    for stop, thread in ends:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def test_forwarded_traffic_is_told_once_in_its_own_network(host, watching_host):
    """Translated on its way out and in, TCP and DNS: the container's network tells of it, the host's does not."""
    host.world.python(LISTENER, "10.90.0.2", "6001")
    host.guest.python(LISTENER, "172.30.0.2", "80")
    seen = watching_host(guard_host=True)
    guest = network_of(host.guest.pid)
    client = host.guest.python(CLIENT, "10.90.0.2", "6001")
    asker = host.guest.python(ASK, "10.90.0.2")
    host.world.python(CLIENT, "10.90.0.1", "8080")
    asked = seen.wait_for(ConnectionOpened, destination_port=6001, answered=True)
    assert (asked.net_ns, asked.owner) == (guest, read_stat(client.pid).process)
    assert seen.wait_for(NameQueried).owner == read_stat(asker.pid).process
    assert seen.wait_for(ConnectionOpened, destination_port=80, answered=True).direction == "inbound"
    counts = seen.sensor.counts(network_of(host.host.pid))
    until(lambda: counts.foreign >= 5)
    time.sleep(3 * sieve.SETTLE_NS / 1e9)  # what is held back would be told by now
    assert {event.net_ns for event in [*seen.all(ConnectionOpened), *seen.all(NameQueried)]} == {guest}
    assert len(seen.all(ConnectionOpened)) == 4
    assert len(seen.all(NameQueried)) == 1


def test_in_the_hosts_network_only_the_guarded_are_told_of(host, watching_host):
    """A container of host network mode is; a daemon of the host is not, and a process that was gone is counted."""
    host.world.python(LISTENER, "10.90.0.2", "6011")
    guarded = set()
    seen = watching_host(guarded=guarded.__contains__)
    own = network_of(host.host.pid)
    daemon = host.host.python(CLIENT, "10.90.0.2", "6011")
    member = host.host.python("print('here'); import sys; sys.stdin.readline()" + CLIENT, "10.90.0.2", "6011")
    guarded.add(member.pid)
    member.stdin.write("go\n")
    member.stdin.flush()
    told = seen.wait_for(ConnectionOpened, net_ns=own, answered=True)
    assert (told.owner, told.source) == (read_stat(member.pid).process, "10.90.0.1")
    assert {event.owner.pid for event in seen.all(ConnectionOpened)} == {member.pid} != {daemon.pid}


def test_what_has_no_owner_in_the_hosts_network_is_counted(host, watching_host, monkeypatch):
    """Not told of one by one, and not forgotten: the count comes as a standing limit."""
    monkeypatch.setattr(sieve, "TELL_EVERY_NS", 0)
    monkeypatch.setattr("outrider_sidecar.sensors.owners.OwnerFinder._search", lambda *_: None)
    host.world.python(LISTENER, "10.90.0.2", "6021")
    seen = watching_host(guarded=lambda _: True)
    host.host.python(CLIENT, "10.90.0.2", "6021")
    lost = seen.wait_for(SightLost)
    assert (lost.standing, lost.lost, lost.sense) == (True, 1, "network")
    assert not seen.all(ConnectionOpened)


def test_a_question_without_an_owner_goes_on_for_the_engine_to_judge(host, watching_host, monkeypatch):
    """It is counted, and told of with nobody named: perhaps a guarded program was given that name."""
    monkeypatch.setattr("outrider_sidecar.sensors.owners.OwnerFinder._search", lambda *_: None)
    seen = watching_host(guarded=lambda _: True)
    host.host.python(ASK, "10.90.0.2")
    asked = seen.wait_for(NameQueried, net_ns=network_of(host.host.pid))
    assert (asked.name, asked.owner, asked.attribution) == ("pool.example", None, "unknown")


def test_a_guarded_host_has_its_own_traffic_told(host, watching_host):
    """Under its own switch, its daemons too, also what has no owner."""
    host.world.python(LISTENER, "10.90.0.2", "6031")
    seen = watching_host(guard_host=True, guarded=lambda _: False)
    daemon = host.host.python(CLIENT, "10.90.0.2", "6031")
    told = seen.wait_for(ConnectionOpened, net_ns=network_of(host.host.pid), answered=True)
    assert told.owner == read_stat(daemon.pid).process


def test_a_host_that_is_not_guarded_and_has_nobody_in_it_is_not_tapped(fresh):
    """No container of host network mode: nothing is opened there."""
    sensor = NamespaceSensor()
    stop = threading.Event()
    thread = threading.Thread(target=sensor.run, args=(lambda _: None, stop))
    thread.start()
    room = fresh()
    sensor.follow(network_of(room.pid), room.pid)
    until(lambda: sensor.networks == {network_of(room.pid)})
    assert network_of(os.getpid()) not in sensor.networks
    stop.set()
    thread.join(10)
