"""Finding the process that holds a socket."""

import os
import socket
import subprocess
import sys

import pytest

from outrider_sidecar.linux.netns import network_of, own_network
from outrider_sidecar.linux.procfs import list_pids, read_stat
from outrider_sidecar.linux.unyielding import DescriptorReader
from outrider_sidecar.sensors import owners
from outrider_sidecar.sensors.owners import OwnerFinder
from outrider_wire.events import ProcessId


@pytest.fixture
def finder():
    opened = OwnerFinder()
    yield opened
    opened.close()


@pytest.fixture
def connection():
    """A loopback connection of this process: client, server's end, listener."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            yield client, peer, server


def inode_of(each):
    return os.fstat(each.fileno()).st_ino


def heir_of(*sockets):
    """A child process that inherited the sockets."""
    waiting = [sys.executable, "-c", "print('ready', flush=True); input()"]
    fds = [each.fileno() for each in sockets]
    child = subprocess.Popen(waiting, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    return child


def end(child):
    child.kill()
    child.communicate()


def test_the_holder_of_a_connection_is_exact(finder, connection):
    """Asked by its four ends, each end of a connection gives process, inode and exact attribution."""
    client, peer, _ = connection
    near, far = client.getsockname(), client.getpeername()
    for local, remote, each in ((near, far, client), (far, near, peer)):
        owner = finder.of_connection(*local, *remote)
        assert (owner.process, owner.attribution) == (read_stat(os.getpid()).process, "exact")
        assert owner.socket_inode == inode_of(each)


def test_a_connection_before_accept_is_inferred_to_be_the_listeners(finder):
    """What nobody accepted yet belongs to the listening socket's holder, said to be inferred."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        owner = finder.of_connection(*client.getpeername(), *client.getsockname(), accepting=True)
        assert (owner.process, owner.attribution) == (read_stat(os.getpid()).process, "inferred")
        assert owner.socket_inode == inode_of(server)


def test_a_listener_is_not_taken_for_a_connection_that_is_gone(finder):
    """Who listens on a port did not open the connections that once came from it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends = (*server.getsockname(), "127.0.0.1", 9)
        assert finder.of_connection(*ends).process is None
        assert finder.of_connection(*ends, accepting=True).process is not None


def test_the_newest_of_several_holders_is_named(finder, connection):
    """A child that inherited the connection is named before its parent, and the parent after the child's end."""
    client = connection[0]
    child = heir_of(client)
    try:
        assert finder.of_inode(inode_of(client)).process == read_stat(child.pid).process
    finally:
        end(child)
    assert finder.of_inode(inode_of(client)).process == read_stat(os.getpid()).process


def test_only_processes_of_the_network_are_looked_through(connection, fresh, monkeypatch):
    """A holder in another network is passed over, and taken to be there for a moment only."""
    client = connection[0]
    room = fresh()
    own = OwnerFinder(net_ns=own_network())
    assert own.of_inode(inode_of(client)).mnt_ns == os.stat("/proc/self/ns/mnt").st_ino
    other = OwnerFinder(net_ns=network_of(room.pid))
    for _ in range(2):
        assert other.of_inode(inode_of(client)).process is None
    assert os.getpid() in other._elsewhere
    monkeypatch.setattr(owners, "ELSEWHERE_S", 0.0)
    other._network = own._network  # as if this process had moved there
    assert other.of_inode(inode_of(client)).process == read_stat(os.getpid()).process


def test_after_pids_began_anew_the_newest_are_the_low_ones(tmp_path):
    """Processes are looked through from the last pid given downwards, and then from the highest."""
    for pid in (3, 7, 90, 95):
        (tmp_path / str(pid)).mkdir()
    (tmp_path / "loadavg").write_text("0.1 0.1 0.1 1/9 8\n")
    assert OwnerFinder(proc=tmp_path)._list_pids() == [7, 3, 95, 90]
    (tmp_path / "loadavg").write_text("0.1 0.1 0.1 1/9 99\n")
    assert OwnerFinder(proc=tmp_path)._list_pids() == [95, 90, 7, 3]


def test_a_remembered_holder_is_checked(finder, connection):
    """A holder found once is read again each time; a closed descriptor is not believed."""
    client = connection[0]
    inode = inode_of(client)
    assert finder.of_inode(inode).process is not None
    client.close()
    owner = finder.of_inode(inode)
    assert (owner.process, owner.attribution, owner.socket_inode) == (None, "unknown", inode)


def test_a_remembered_holder_needs_no_search(connection):
    """The second question about a socket, and one about another socket of the same process, list no processes."""
    listings = []

    def pids():
        listings.append(1)
        return reversed(list_pids())

    finder = OwnerFinder(pids=pids)
    client, peer, _ = connection
    for _ in range(3):
        assert finder.of_inode(inode_of(client)).process is not None
    assert finder.of_inode(inode_of(peer)).process is not None
    assert len(listings) == 1


def test_nobody_is_said_to_be_nobody(finder):
    """A connection that does not exist has no owner, no inode and unknown attribution."""
    owner = finder.of_connection("127.0.0.1", 1, "127.0.0.1", 2)
    assert (owner.process, owner.attribution, owner.socket_inode) == (None, "unknown", 0)
    assert finder.of_datagrams("127.0.0.1", 1, "127.0.0.1", 2) == owner


def test_a_holder_that_is_hidden_leaves_the_inode(connection):
    """Where no listed process holds the socket, the inode is kept for others to complete."""
    client = connection[0]
    owner = OwnerFinder(pids=list).of_inode(inode_of(client))
    assert (owner.process, owner.attribution, owner.socket_inode) == (None, "unknown", inode_of(client))


def test_datagrams_are_owned_by_their_port(finder):
    """A UDP socket is found by the port it sends from, connected or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        owner = finder.of_datagrams(*sender.getsockname(), "127.0.0.1", 53)
        assert (owner.process, owner.socket_inode) == (read_stat(os.getpid()).process, inode_of(sender))


def test_processes_that_go_or_are_forbidden_are_passed_over(tmp_path):
    """A process without a readable fd folder, or with an unreadable stat, holds nothing and raises nothing."""
    (tmp_path / "7/fd").mkdir(parents=True)
    (tmp_path / "7/fd/3").symlink_to("socket:[5]")
    (tmp_path / "9").mkdir()
    finder = OwnerFinder(pids=lambda: [9, 8, 7], proc=tmp_path)
    assert finder.of_inode(5).process is None
    (tmp_path / "7/stat").write_text("nonsense")
    assert finder.of_inode(5).process is None
    (tmp_path / "7/stat").write_text("7 (a) b) S " + " ".join(str(number) for number in range(4, 30)))
    assert finder.of_inode(5).process == ProcessId(7, 22)


def test_the_reader_lists_and_reads_as_os_does(tmp_path):
    """Many entries, over several buffers, are listed whole; the highest link that matches is found."""
    reader = DescriptorReader()
    for number in range(3000):
        (tmp_path / str(number)).symlink_to(f"socket:[{number % 7}]")
    (tmp_path / "name").symlink_to("socket:[3]")
    folder = str(tmp_path).encode()
    assert sorted(reader.numbers(folder)) == list(range(3000))
    assert reader.find(folder, b"socket:[3]", limit=5000) == 2999 - (2999 - 3) % 7
    assert reader.find(folder, b"socket:[9]", limit=5000) == -1
    assert reader.find(folder, b"socket:[3]", limit=1) == (2999 if 2999 % 7 == 3 else -1)
    assert reader.read_link(folder + b"/10") == b"socket:[3]"
    assert reader.read_file(b"/proc/self/stat").startswith(str(os.getpid()).encode())
    with pytest.raises(FileNotFoundError):
        reader.numbers(folder + b"/none")
