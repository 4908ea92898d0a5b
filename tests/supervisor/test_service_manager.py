"""What the service manager hears: that we are up, a beat while all is well, and nothing from who does not move."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.child import BACKOFF_MOST_S, STEADY_S, Child
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux.sd_notify import BEATS, ServiceManager, find_service_manager

PROGRAM = Path(__file__).parent / "serviced.py"
DEADLINE_S = 30.0


class Standin:
    """A datagram socket in systemd's place; `heard` grows as it is asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address.replace("@", "\0", 1))
        self._heard: list[bytes] = []

    @property
    def heard(self) -> list[bytes]:
        try:
            while True:
                self._heard.append(self._socket.recv(4096))
        except BlockingIOError:
            return self._heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def standin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Standin]:
    address = f"@outrider-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    made = Standin(address)
    yield made
    made.close()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)


def test_it_hears_that_we_are_up_once_and_beats_when_they_are_due(standin: Standin) -> None:
    """However often it is said; three beats in the time in which one must come."""
    now_ns = [10**9]
    environ = {"NOTIFY_SOCKET": standin.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    found = find_service_manager(environ, pid=7)
    assert found is not None
    manager = ServiceManager(standin.address, within_ns=30 * 10**9, clock_ns=lambda: now_ns[0])
    assert found._every_ns == manager._every_ns == 30 * 10**9 // BEATS
    now_ns[0] += 10 * 10**9
    for _ in range(3):
        manager.say_ready()
        manager.beat()
    assert standin.heard == [b"READY=1", b"WATCHDOG=1"]
    now_ns[0] += 10 * 10**9
    manager.beat()
    assert standin.heard[2:] == [b"WATCHDOG=1"]


@pytest.mark.parametrize("more", [{}, {"WATCHDOG_USEC": "5000", "WATCHDOG_PID": "8"}, {"WATCHDOG_USEC": "soon"}])
def test_it_hears_no_beat_that_it_does_not_wait_for(standin: Standin, more: dict[str, str]) -> None:
    """No watchdog, or somebody else's: that we are up is told all the same."""
    manager = find_service_manager({"NOTIFY_SOCKET": standin.address, **more}, pid=7)
    assert manager is not None
    manager.say_ready()
    manager.beat()
    assert standin.heard == [b"READY=1"]


@pytest.mark.parametrize("address", [None, "", "notify", "vsock:2:1", "@", "/", "/run/a\0b"])
def test_what_is_no_address_of_a_manager_is_none(address: str | None) -> None:
    """Not set, or what we cannot speak to: there is nobody to be told."""
    assert find_service_manager({"NOTIFY_SOCKET": address} if address is not None else {}, pid=7) is None


@given(st.dictionaries(st.sampled_from(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]), st.text()))
def test_any_environment_is_taken(environ: dict[str, str]) -> None:
    """Whatever stands there, nobody is hurt."""
    manager = find_service_manager(environ, pid=7)
    if manager is not None and not os.path.exists(environ["NOTIFY_SOCKET"]):
        manager.say_ready()
        manager.beat()


def test_a_manager_that_is_gone_or_does_not_read_is_no_error(tmp_path: Path) -> None:
    """Nothing is there, nobody listens, or its queue is full: a beat is lost, and nobody waits."""
    ServiceManager(str(tmp_path / "none")).say_ready()
    gone = Standin(str(tmp_path / "gone"))
    gone.close()
    ServiceManager(gone.address).say_ready()
    deaf = Standin(str(tmp_path / "deaf"))
    manager = ServiceManager(deaf.address, within_ns=BEATS, clock_ns=iter(range(1, 10**9)).__next__)
    for _ in range(5_000):
        manager.beat()
    assert 0 < len(deaf.heard) < 5_000
    deaf.close()


def a_child() -> Child:
    child = Child("lookout", Slot.TRACER_BEAT, Slot.TRACER_STARTS, lambda _: 0)
    child.start(Heartbeat(), 100.0)
    os.waitpid(child.pid, 0)
    return child


def test_a_child_is_well_while_it_runs_and_moves() -> None:
    """Not when it is stopped, stands still, is gone, or ended again and again; and again when it has lived a while."""
    child = a_child()
    assert child.is_well(100.0)
    child.stopped = True
    assert not child.is_well(100.0)
    child.stopped, child.standing = False, True
    assert not child.is_well(100.0)
    child.died(100.0)
    assert not child.is_well(100.0)
    while child._backoff_s < BACKOFF_MOST_S:
        child.died(100.1)
    child.start(Heartbeat(), 101.0)
    os.waitpid(child.pid, 0)
    assert not child.is_well(101.0) and child.is_well(101.1 + STEADY_S)


@pytest.fixture
def serviced(standin: Standin, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environ = {**os.environ, "NOTIFY_SOCKET": standin.address, "WATCHDOG_USEC": "150000"}
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(tmp_path / "notes")], env=environ)
    yield process
    process.kill()
    process.wait()


def test_a_supervisor_beats_while_its_children_are_well(
    standin: Standin, serviced: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """Up first, then beats; none while one of its children ends as often as it is started; and none when it is over."""
    notes = tmp_path / "notes"
    until(lambda: len(standin.heard) >= 10, "ten beats")
    assert standin.heard[0] == b"READY=1" and set(standin.heard[1:]) == {b"WATCHDOG=1"}
    (tmp_path / "end").touch()
    starts = [0]

    def begins_again(times: int) -> bool:
        return len(notes.read_text().split()) >= starts[0] + times

    until(lambda: begins_again(12), "its starts")
    beats, starts[0] = len(standin.heard), len(notes.read_text().split())
    until(lambda: begins_again(8), "more starts")
    assert len(standin.heard) == beats
    serviced.send_signal(signal.SIGTERM)
    assert serviced.wait(DEADLINE_S) is not None


def test_a_supervisor_that_is_stopped_is_not_heard(standin: Standin, serviced: "subprocess.Popen[bytes]") -> None:
    """No child of ours beats in its place: after what it had sent there is nothing, for as long as a child lives on."""
    until(lambda: len(standin.heard) >= 3, "a beat")
    serviced.send_signal(signal.SIGSTOP)
    until(lambda: Path(f"/proc/{serviced.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "its stop")
    beats = len(standin.heard)
    (engine, *_) = Path(f"/proc/{serviced.pid}/task/{serviced.pid}/children").read_text().split()
    turns = Path(f"/proc/{engine}/status")

    def switches() -> int:
        (line,) = [line for line in turns.read_text().splitlines() if line.startswith("voluntary_ctxt_switches")]
        return int(line.split()[1])

    before = switches()
    until(lambda: switches() >= before + 50, "fifty turns of a child")
    assert len(standin.heard) == beats
    serviced.send_signal(signal.SIGCONT)
    until(lambda: len(standin.heard) > beats, "a beat again")
