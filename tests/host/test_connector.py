"""The proc connector's messages: parsing them, and receiving real ones."""

import os
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.linux.proc_connector import EXEC, EXIT, FORK, LifeMessage, ProcConnector, parse_message
from outrider_sidecar.sensors.host import probe_connector

from .conftest import wait_until

COMM = 0x200


def message(
    what: int, *words: int, kind: int = 3, idx: int = 1, val: int = 1, length: int = 76, size: int = 40
) -> bytes:
    """A datagram as the kernel lays it out."""
    told = (*words, *[0] * (6 - len(words)))
    header = struct.pack("=IHHII", length, kind, 0, 7, 0) + struct.pack("=IIIIHH", idx, val, 21, 0, size, 0)
    return header + struct.pack("=IIQ6i", what, 1, 5_000, *told)


def test_reads_what_the_kernel_tells() -> None:
    """Forks, execs and exits of processes come with their pids; so does the making of a thread."""
    assert parse_message(message(FORK, 10, 10, 20, 20)) == LifeMessage("fork", 20, 5_000, 10, 0, 1, 21)
    assert parse_message(message(FORK, 11, 10, 21, 10)) == LifeMessage("thread", 10, 5_000, 0, 0, 1, 21)
    assert parse_message(message(EXEC, 20, 20)) == LifeMessage("exec", 20, 5_000, 0, 0, 1, 21)
    assert parse_message(message(EXIT, 20, 20, 768, 17, 10, 10)) == LifeMessage("exit", 20, 5_000, 0, 768, 1, 21)


def test_leaves_the_rest_out() -> None:
    """A thread's end, a new name and whatever a later kernel tells of are nothing."""
    assert parse_message(message(EXIT, 21, 20, 0)) is None
    assert parse_message(message(COMM, 20, 20)) is None
    assert parse_message(message(0x4000, 20, 20)) is None


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        message(FORK, 10, 10, 20, 20)[:-1],
        message(FORK, 10, 10, 20, 20, kind=2),
        message(FORK, 10, 10, 20, 20, idx=2),
        message(FORK, 10, 10, 20, 20, val=9),
        message(FORK, 10, 10, 20, 20, length=80),
        message(FORK, 10, 10, 20, 20, length=20),
        message(FORK, 10, 10, 20, 20, size=39),
        message(FORK, 10, 10, 20, 20, size=41),
        message(EXEC, 0, 0),
        message(EXIT, -1, -1),
    ],
)
def test_refuses_what_is_no_message(datagram: bytes) -> None:
    """What is cut off, of another kind, or says two things at once is refused."""
    with pytest.raises(ValueError):
        parse_message(datagram)


@given(
    st.one_of(
        st.binary(max_size=120),
        st.builds(
            lambda what, words, length, size, tail: message(what, *words, length=length, size=size) + tail,
            st.sampled_from([FORK, EXEC, EXIT, COMM, 0]),
            st.lists(st.integers(-(2**31), 2**31 - 1), min_size=6, max_size=6),
            st.integers(70, 80),
            st.integers(36, 44),
            st.binary(max_size=8),
        ),
    )
)
def test_any_bytes_are_a_message_nothing_or_refused(datagram: bytes) -> None:
    """There is no third way."""
    try:
        found = parse_message(datagram)
    except ValueError:
        return
    assert found is None or (isinstance(found, LifeMessage) and found.pid > 0)


def test_receives_in_the_order_of_time(connector) -> None:
    """Messages of both sockets come in the order in which things happened, each once."""
    listening = ProcConnector(buffer_bytes=1 << 22)
    pids = []
    for _ in range(200):
        pids.append(os.posix_spawn("/bin/true", ["true"], {}))
        os.waitpid(pids[-1], 0)
    found: list[LifeMessage] = []

    def take() -> bool:
        found.extend(each for each in listening.receive() if each.pid in pids)
        return len(found) >= 600

    wait_until(take, "the messages")
    listening.close()
    assert [each.at_ns for each in found] == sorted(each.at_ns for each in found)
    assert abs(time.monotonic_ns() - found[-1].at_ns) < 5_000_000_000
    for pid in pids:
        assert [each.what for each in found if each.pid == pid] == ["fork", "exec", "exit"]
    assert (listening.strange, listening.overrun) == (0, False)


def test_counts_what_did_not_fit(connector) -> None:
    """What was dropped for a full buffer is told and counted, once, and messages come again afterwards."""
    listening = ProcConnector(buffer_bytes=8192)
    for _ in range(50):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    taken = []
    while True:
        taken += listening.receive()
        if not listening.has_more:
            break
    assert listening.overrun
    lost = listening.take_losses()
    assert lost is not None
    assert 0 < 150 - len(taken) <= lost
    assert not listening.overrun
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    wait_until(lambda: any(each.pid == pid for each in listening.receive()), "a message after the loss")
    listening.close()


def test_the_probe_says_what_it_did(connector) -> None:
    """The probe saw a child of its own live and end."""
    can = probe_connector()
    assert (can.sense, can.sensor, can.available) == ("process", "connector", True)


@pytest.mark.parametrize(("may_leave", "wanted"), [(True, "True True False"), (False, "False True True")])
def test_from_a_network_of_its_own_it_listens_in_the_machines(connector, may_leave: bool, wanted: str) -> None:
    """It is told of there as anywhere, and stays where it is; where it may not, it says so and names a remedy."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _unshare_network()
            own = os.stat("/proc/thread-self/ns/net").st_ino
            if not may_leave:
                os.setuid(65534)
            can = probe_connector(wait_s=5.0 if may_leave else 0.2)
            is_back = os.stat("/proc/thread-self/ns/net").st_ino == own if may_leave else True
            os.write(write_end, f"{can.available} {is_back} {bool(can.remedy)} {can.reason}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write_end)
    said = os.read(read_end, 4096).decode()
    os.close(read_end)
    assert said.startswith(f"{wanted} the proc connector"), said


def _unshare_network() -> None:
    import ctypes

    from outrider_sidecar.linux.libc import check, function

    check(function("unshare", ctypes.c_int)(0x40000000), "unshare")
