"""Sockets that no packet tells of, found in the kernel's lists."""

import contextlib
import os
import socket
import threading
import time

import pytest

from outrider_sidecar.sensors import sockets
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.sockets import SocketSensor
from outrider_wire.events import ConnectionOpened, SightLost, SyscallMade


@pytest.fixture
def sensor():
    """A sensor that has looked once: what is told afterwards is new."""
    owners = OwnerFinder()
    owners.open()
    sensor = SocketSensor(owners)
    sensor.look(lambda _: None)
    yield sensor
    owners.close()


def test_a_packet_socket_is_told_of_with_its_holder(sensor):
    """One event, as Falco names the call, of the process that has it."""
    events = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0):
        sensor.look(events.append)
        sensor.look(events.append)
    ours = [event for event in events if isinstance(event, SyscallMade) and event.process.pid == os.getpid()]
    assert [(event.name, event.arguments) for event in ours] == [("socket", {"domain": "AF_PACKET"})]


def test_a_udp_socket_with_a_peer_is_a_connection(sensor):
    """Both ends, and the process."""
    events = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 9993))
        sensor.look(events.append)
        here = client.getsockname()[1]
    (event,) = [e for e in events if isinstance(e, ConnectionOpened) and e.source_port == here]
    assert (event.protocol, event.direction, event.destination_port) == ("udp", "outbound", 9993)
    assert event.owner is not None
    assert event.owner.pid == os.getpid()


def test_questions_and_sockets_without_a_peer_are_left_out(sensor):
    """DNS has events of its own; a socket that only waits leads nowhere."""
    events = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waits,
    ):
        asks.connect(("127.0.0.1", 53))
        waits.bind(("127.0.0.1", 0))
        ports = {asks.getsockname()[1], waits.getsockname()[1]}
        sensor.look(events.append)
    assert not [e for e in events if isinstance(e, ConnectionOpened) and e.source_port in ports]


def test_the_sidecars_own_sockets_are_not_told_of():
    """The tap is a packet socket itself."""
    owners = OwnerFinder()
    owners.open()
    events = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0):
        SocketSensor(owners, ignore=lambda pid: pid == os.getpid()).look(events.append)
    owners.close()
    assert not [e for e in events if isinstance(e, SyscallMade) and e.process.pid == os.getpid()]


def test_more_sockets_than_the_bound_are_said_once(sensor, monkeypatch):
    """Sight that ends at a bound is a limit that is told."""
    monkeypatch.setattr(sockets, "MAX_SOCKETS", 0)
    events = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 9994))
        sensor.look(events.append)
        sensor.look(events.append)
    assert [event.standing for event in events if isinstance(event, SightLost)] == [True]


def test_what_was_there_before_is_not_told_and_what_comes_is():
    """A running sensor tells of new sockets within moments."""
    events: list[object] = []
    stop = threading.Event()
    with contextlib.ExitStack() as later, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as old:
        old.connect(("127.0.0.1", 9995))
        thread = threading.Thread(target=SocketSensor(OwnerFinder()).run, args=(events.append, stop))
        thread.start()
        deadline_s = time.monotonic() + 5
        while not _to(events, 9996) and time.monotonic() < deadline_s:
            # One each turn: those made before the sensor's first look were there before it.
            later.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).connect(("127.0.0.1", 9996))
            time.sleep(sockets.POLL_S / 4)
        stop.set()
        thread.join()
    assert _to(events, 9996)
    assert not _to(events, 9995)


def _to(events: list[object], port: int) -> list[ConnectionOpened]:
    return [e for e in events if isinstance(e, ConnectionOpened) and e.destination_port == port]
