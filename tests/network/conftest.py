"""Two network namespaces joined by a veth pair, and packet sensors that watch them.

Each namespace is held by a process and goes with it: nothing is mounted and nothing of this machine's own network
is touched.
"""

import ctypes
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from outrider_sidecar.linux.libc import check, function
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_sidecar.sensors.packets import PacketSensor
from outrider_wire.events import Event

DEADLINE_S = 10.0
CLONE_NEWNET = 0x40000000
Kind = TypeVar("Kind")
setns = function("setns", ctypes.c_int, ctypes.c_int)


def wait_until(condition: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Return when the condition holds; fail when it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold in time"
        time.sleep(0.005)


class Recorder:
    """The events of one sensor, in order."""

    def __init__(self, sensor: PacketSensor) -> None:
        self.sensor = sensor
        self.events: list[Event] = []
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def take(self, event: Event) -> None:
        self._queue.put(event)

    def wait_for(
        self, kind: type[Kind], matches: Callable[[Kind], bool] = lambda _: True, *, deadline_s: float = DEADLINE_S
    ) -> Kind:
        """The first event of a kind that matches, among those seen and those to come."""
        end = time.monotonic() + deadline_s
        looked_at = 0
        while True:
            for event in self.events[looked_at:]:
                if isinstance(event, kind) and matches(event):
                    return event
            looked_at = len(self.events)
            try:
                self.events.append(self._queue.get(timeout=max(end - time.monotonic(), 0.001)))
            except queue.Empty:
                pytest.fail(f"no {kind.__name__} came; there were {self.events}")

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Every event of a kind that came by now."""
        while not self._queue.empty():
            self.events.append(self._queue.get())
        return [event for event in self.events if isinstance(event, kind)]


class Namespace:
    """A network namespace, held by a process that sleeps."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "900"])
        self._started: list[subprocess.Popen[str]] = []
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.pid}/ns/net") != own)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def inside(self, *command: str) -> list[str]:
        """The command as run in the namespace; the process keeps its pid."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.inside(*command), check=check, capture_output=True, text=True, timeout=30)

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """A process that is ended with the namespace."""
        process = subprocess.Popen(
            self.inside(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._started.append(process)
        return process

    def python(self, program: str, *arguments: str) -> "subprocess.Popen[str]":
        """A Python program; it has printed its first line when this returns."""
        process = self.start(sys.executable, "-u", "-c", program, *arguments)
        assert process.stdout is not None
        assert process.stdout.readline(), "the program ended early"
        return process

    def enter(self) -> None:
        """Move the calling thread into the namespace, for the rest of its life."""
        fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            check(setns(fd, CLONE_NEWNET), "setns")
        finally:
            os.close(fd)

    def in_thread(self, work: Callable[[], None]) -> threading.Thread:
        """Run something in a thread inside the namespace."""

        def enter_and_work() -> None:
            self.enter()
            work()

        thread = threading.Thread(target=enter_and_work)
        thread.start()
        return thread

    @contextmanager
    def watch(
        self,
        *,
        ignore: Callable[[int], bool] = lambda _: False,
        before_run: Callable[[], None] = lambda: None,
        **bounds: int,
    ) -> Iterator[Recorder]:
        """A packet sensor that watches the namespace; it is open when this returns."""
        recorder = Recorder(PacketSensor(OwnerFinder(), ignore=ignore, **bounds))
        stop, opened = threading.Event(), threading.Event()

        def watch() -> None:
            recorder.sensor.open()
            before_run()
            opened.set()
            recorder.sensor.run(recorder.take, stop)

        thread = self.in_thread(watch)
        try:
            assert opened.wait(DEADLINE_S)
            yield recorder
        finally:
            stop.set()
            thread.join(DEADLINE_S)
        assert not thread.is_alive()

    def close(self) -> None:
        for process in [*self._started, self._holder]:
            process.kill()
            process.communicate()


class Wire:
    """Namespaces `a` (10.77.0.1, fd77::1) and `b` (10.77.0.2, fd77::2), joined by interfaces of the names a0 and b0."""

    wait_until = staticmethod(wait_until)

    def __init__(self) -> None:
        self.a, self.b = Namespace(), Namespace()
        self.a.run("ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0", "netns", str(self.b.pid))
        for namespace, device, host in ((self.a, "a0", 1), (self.b, "b0", 2)):
            namespace.run("ip", "addr", "add", f"10.77.0.{host}/24", "dev", device)
            namespace.run("ip", "addr", "add", f"fd77::{host}/64", "dev", device, "nodad")
            namespace.run("sysctl", "-qw", f"net.ipv6.conf.{device}.accept_dad=0")
            namespace.run("ip", "link", "set", device, "up")

    def close(self) -> None:
        self.a.close()
        self.b.close()


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    """Made once; each test opens its own sensors and ports."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    missing = [tool for tool in ("unshare", "nsenter", "ip", "sysctl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    try:
        joined = Wire()
    except (OSError, AssertionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        yield joined
    finally:
        joined.close()


@pytest.fixture
def fresh(wire: Wire) -> Iterator[Callable[[], Namespace]]:
    """Makes namespaces with nothing but loopback, for one test. (`wire` finds out whether any can be made.)"""
    made: list[Namespace] = []

    def make() -> Namespace:
        made.append(Namespace())
        return made[-1]

    yield make
    for one in made:
        one.close()
