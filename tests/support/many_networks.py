"""A namespace sensor in a thread, for tests of network namespaces, and what they run inside."""

import queue
import threading
import time
from contextlib import contextmanager

from outrider_sidecar.linux.netns import network_of
from outrider_sidecar.sensors.namespaces import NamespaceSensor

LISTENER = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready")
while True:
    peer, _ = server.accept()
"""
CLIENT = """
import socket, sys
client = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print(client.getsockname()[1])
sys.stdin.readline()
"""


class Seen:
    """The events of a running sensor."""

    def __init__(self, sensor):
        self.sensor = sensor
        self.queue = queue.SimpleQueue()
        self.events = []

    def all(self, kind, **wanted):
        while not self.queue.empty():
            self.events.append(self.queue.get())
        return [
            e for e in self.events if isinstance(e, kind) and all(getattr(e, n) == value for n, value in wanted.items())
        ]

    def wait_for(self, kind, *, deadline_s=10.0, **wanted):
        end = time.monotonic() + deadline_s
        while not (found := self.all(kind, **wanted)):
            assert time.monotonic() < end, f"no {kind.__name__} with {wanted} among {self.events}"
            time.sleep(0.005)
        return found[0]


@contextmanager
def watching(*namespaces, wait=True, new=False, **options):
    """A namespace sensor in a thread, which has its taps open in the namespaces given."""
    sensor = NamespaceSensor(**options)
    seen, stop = Seen(sensor), threading.Event()
    for one in namespaces:
        sensor.follow(network_of(one.pid), one.pid, new=new)
    thread = threading.Thread(target=sensor.run, args=(seen.queue.put, stop))
    thread.start()
    try:
        end = time.monotonic() + 10
        while wait and not {network_of(one.pid) for one in namespaces} <= sensor.networks:
            assert time.monotonic() < end
            time.sleep(0.005)
        yield seen
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def until(condition, *, deadline_s=10.0):
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold in time"
        time.sleep(0.01)
