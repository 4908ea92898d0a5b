"""The socket table against independent oracles: ss, psutil, and the sockets of this very process."""

import os
import shutil
import socket
import subprocess
import sys

import psutil
import pytest

from outrider_sidecar.linux.inet_diag import InetDiag
from outrider_sidecar.linux.proc_net import ProcNet
from outrider_sidecar.linux.sock_diag import SocketTable, ephemeral_ports, open_source, probe_sock_diag


@pytest.fixture(params=[InetDiag, ProcNet])
def table(request):
    """The table over each of its two sources."""
    with SocketTable(source=request.param()) as opened:
        yield opened


@pytest.fixture
def pairs():
    """Connected pairs with their server, of IPv4, IPv6, and an IPv4 client of an IPv6 server; closed afterwards."""
    made = []
    for family, address, target in (
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ):
        server = socket.create_server((address, 0), family=family, dualstack_ipv6=family == socket.AF_INET6)
        client = socket.create_connection((target, server.getsockname()[1]))
        made.append((server, client, server.accept()[0]))
    yield made
    for sockets in made:
        for each in sockets:
            each.close()


def inode_of(each):
    return os.fstat(each.fileno()).st_ino


def test_connections_are_found_by_inode_with_their_direction(table, pairs):
    """Both ends and the listener are found; the side with the listening port is inbound, mapped addresses are IPv4."""
    for server, client, peer in pairs:
        found = table.find([inode_of(server), inode_of(client), inode_of(peer)])
        listening, ours, theirs = (found[inode_of(each)] for each in (server, client, peer))
        address, port = client.getsockname()[:2]
        assert (listening.state, listening.local_port) == ("LISTEN", server.getsockname()[1])
        assert (ours.state, ours.local, ours.local_port, ours.direction) == ("ESTABLISHED", address, port, "outbound")
        assert (theirs.remote, theirs.remote_port, theirs.direction) == (address, port, "inbound")


def test_a_connection_is_found_by_its_ends(table, pairs):
    """The question about one connection gives the inode of the end whose address is named as local."""
    for _, client, peer in pairs:
        near, far = client.getsockname()[:2], client.getpeername()[:2]
        assert table.find_connection("tcp", *near, *far).inode == inode_of(client)
        assert table.find_connection("tcp", *far, *near).inode == inode_of(peer)


def test_a_listener_is_found_where_there_is_no_connection(table, pairs):
    """A connection that does not exist is answered with the listener that would take it, or nothing."""
    for server, client, _ in pairs:
        address, port = client.getpeername()[:2]
        assert table.find_listener(address, port).inode == inode_of(server)
        stranger = table.find_connection("tcp", address, port, address, 1)
        assert (stranger.inode, stranger.state) == (inode_of(server), "LISTEN")
        assert table.find_connection("tcp", address, 1, address, 2) is None


def test_datagram_sockets_are_found_by_port(table):
    """A connected UDP socket is found by its four ends, an unconnected one by its port, of either family."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as wide,
    ):
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        wide.bind(("::", 0))
        near, far = client.getsockname(), server.getsockname()
        assert table.find_connection("udp", *near, *far).inode == inode_of(client)
        assert table.find_connection("udp", *far, *near).inode == inode_of(server)
        assert table.find_connection("udp", "127.0.0.1", wide.getsockname()[1], *far).inode == inode_of(wide)
        assert table.find([inode_of(client)])[inode_of(client)].remote_port == far[1]


def test_unix_sockets_have_their_peers():
    """Each end of a pair names the other's inode, whether asked for one by one or in a dump."""
    ends = [socket.socketpair() for _ in range(12)]
    inodes = [(inode_of(one), inode_of(other)) for one, other in ends]
    with SocketTable() as table:
        few = table.find(inodes[0])
        many = table.find(inode for pair in inodes for inode in pair)
    for one, other in ends:
        one.close()
        other.close()
    assert {inode: facts.peer_inode for inode, facts in few.items()} == dict([inodes[0], inodes[0][::-1]])
    for one, other in inodes:
        assert (many[one].peer_inode, many[other].peer_inode, many[one].protocol) == (other, one, "unix")


def test_unix_sockets_are_found_without_netlink():
    """/proc/net tells of a UNIX socket, though not of its peer."""
    one, other = socket.socketpair()
    with one, other, SocketTable(source=ProcNet()) as table:
        found = table.find([inode_of(one)])
        assert (found[inode_of(one)].protocol, found[inode_of(one)].peer_inode) == ("unix", 0)


def test_what_is_not_a_socket_is_left_out(table):
    """Inodes of other things and of nothing give no facts, and no error."""
    assert table.find([0, 2**31 - 5]) == {}
    assert table.find([]) == {}


def test_both_sources_agree(pairs):
    """Netlink and /proc/net tell the same of every TCP and UDP socket that a process holds."""
    with SocketTable(source=InetDiag()) as diag, SocketTable(source=ProcNet()) as proc:
        mine = {inode_of(each) for sockets in pairs for each in sockets}
        assert diag.find(mine) == proc.find(mine)
        assert len(diag.find(mine)) == 9


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed")
def test_ss_agrees(wire, pairs):
    """In a namespace where nothing else goes on, the table lists what ss lists: ports, inodes and states."""
    program = """
import socket, sys
keep = [socket.create_server(("127.0.0.1", 4301)), socket.create_server(("::", 4302), family=socket.AF_INET6)]
keep.append(socket.create_connection(("127.0.0.1", 4301)))
keep.append(keep[0].accept()[0])
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 4303)); keep.append(udp)
print("ready")
sys.stdin.readline()
"""
    process = wire.b.python(program)
    tables = []

    def ask():
        with SocketTable() as opened:
            tables.append(opened.tcp() + opened.udp())

    wire.b.in_thread(ask).join()
    listed = wire.b.run("ss", "-tuaneH", "sport >= :4301 and sport <= :4303").stdout
    process.kill()
    process.wait()
    from_ss = {int(word[4:]) for line in listed.splitlines() for word in line.split() if word.startswith("ino:")}
    ours = {facts.inode for facts in tables[0] if 4301 <= facts.local_port <= 4303 and facts.inode}
    assert len(ours) == 4
    assert ours == from_ss


def test_psutil_agrees_about_this_process(table, pairs):
    """Every inet connection that psutil finds for this process has the same ends and state in the table."""
    wanted = {inode_of(each) for sockets in pairs for each in sockets}
    ours = {(f.local_port, f.remote_port, f.state) for f in table.find(wanted).values()}
    theirs = set()
    for connection in psutil.Process().net_connections("tcp"):
        remote_port = connection.raddr.port if connection.raddr else 0
        theirs.add((connection.laddr.port, remote_port, connection.status))
    assert ours <= theirs


def test_the_range_of_ephemeral_ports_is_inclusive(tmp_path):
    """Both ends of ip_local_port_range belong to it; where it cannot be read the kernel's default is taken."""
    folder = tmp_path / "sys/net/ipv4"
    folder.mkdir(parents=True)
    (folder / "ip_local_port_range").write_text("40000\t40002\n")
    assert list(ephemeral_ports(proc=tmp_path)) == [40000, 40001, 40002]
    (folder / "ip_local_port_range").write_text("nonsense")
    assert 32768 in ephemeral_ports(proc=tmp_path)


def test_the_probe_asks_the_kernel():
    """Where sock_diag answers, the probe says so with what it was told, and it is the source that is used."""
    found = probe_sock_diag()
    if not found.available:
        pytest.skip(found.reason)
    assert "listening" in found.reason
    assert isinstance(open_source(), InetDiag)


def test_no_privilege_is_needed():
    """A process of another user without capabilities finds its own connection."""
    program = (
        "import os,socket;"
        "from outrider_sidecar.linux.sock_diag import SocketTable\n"
        "s=socket.create_server(('127.0.0.1',0));c=socket.create_connection(s.getsockname())\n"
        "os.getuid() or os.setuid(65534)\n"
        "print(SocketTable().find([os.fstat(c.fileno()).st_ino])[os.fstat(c.fileno()).st_ino].direction)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert output.stdout == "outbound\n", output.stderr
