"""DNS and TLS names as the packet sensor sees them, asked by real resolvers and clients."""

import shutil
import subprocess
import sys

import pytest

from outrider_sidecar.linux.procfs import read_stat
from outrider_wire.events import NameQueried, NameResolved, ServerNamed

STUB = """
import socket, struct, sys, threading

def answer(query):
    end = query.index(b"\\0", 12) + 5
    kind = struct.unpack_from("!H", query, end - 4)[0]
    alias = b"\\xc0\\x0c" + struct.pack("!HHIH", 5, 1, 60, 8) + b"\\x05alias\\xc0\\x0c"
    at = struct.pack("!H", 0xC000 | end + 12)
    rdata = bytes([10, 9, 8, 7]) if kind == 1 else bytes(15) + b"\\7"
    record = at + struct.pack("!HHIH", kind, 1, 30, len(rdata)) + rdata
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 2, 0, 0) + query[12:end] + alias + record

def serve_tcp(server):
    while True:
        peer, _ = server.accept()
        data = b""
        while chunk := peer.recv(4096):
            data += chunk
            while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2]):
                size = int.from_bytes(data[:2])
                reply = answer(data[2:2 + size])
                peer.sendall(len(reply).to_bytes(2) + reply)
                data = data[2 + size:]
        peer.close()

tcp = socket.create_server(("127.0.0.1", 53))
threading.Thread(target=serve_tcp, args=(tcp,), daemon=True).start()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 53))
print("ready")
while True:
    query, peer = udp.recvfrom(4096)
    if len(query) > 16:
        try:
            udp.sendto(answer(query), peer)
        except ValueError:
            pass
"""
ACCEPTOR = """
import socket, sys
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready")
while True:
    peer, _ = server.accept()
"""


@pytest.fixture(scope="module")
def resolver(wire):
    """A stub DNS server on 127.0.0.1:53 of namespace a."""
    return wire.a.python(STUB)


def named(name):
    return lambda event: event.name == name


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_question_of_dig_and_its_answer(wire, resolver, transport):
    """The name is told in lower case with its type and transport, and once, though loopback shows packets twice."""
    name = f"{transport}.Example.COM"
    with wire.a.watch() as seen:
        output = wire.a.run("dig", "@127.0.0.1", f"+{'no' if transport == 'udp' else ''}tcp", "+short", name, "AAAA")
        asked = seen.wait_for(NameQueried, named(name.lower()))
        answered = seen.wait_for(NameResolved, named(name.lower()))
        assert [event.name for event in seen.all(NameQueried)] == [name.lower()]
        assert [event.name for event in seen.all(NameResolved)] == [name.lower()]
    assert "::7" in output.stdout
    assert (asked.record_type, asked.transport, asked.server) == ("AAAA", transport, "127.0.0.1")
    assert (answered.addresses, answered.aliases) == (("::7",), (f"alias.{name.lower()}",))
    assert (answered.code, answered.ttl_s, answered.server) == ("NOERROR", 30, "127.0.0.1")


def test_getaddrinfo_of_the_c_library_is_told_with_its_owner(wire, resolver, tmp_path):
    """What an ordinary program resolves by its C library carries the program's process."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    program = "import socket; socket.getaddrinfo('libc.example.org', 80, socket.AF_INET); print('done'); input()"
    mounted = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec {sys.executable} -u -c "{program}"'
    with wire.a.watch() as seen:
        process = wire.a.start("unshare", "-m", "sh", "-c", mounted)
        asked = seen.wait_for(NameQueried, named("libc.example.org"))
        answered = seen.wait_for(NameResolved, named("libc.example.org"))
    assert process.stdout.readline() == "done\n"
    assert (asked.record_type, asked.transport) == ("A", "udp")
    assert answered.addresses == ("10.9.8.7",)
    if asked.owner is None:  # the stub may answer before the owner can be looked for
        assert asked.attribution == "unknown"
    else:
        assert (asked.owner, asked.attribution) == (read_stat(process.pid).process, "exact")


def test_the_owner_of_a_waiting_question_is_exact(wire):
    """While the answer is awaited the socket is open: connected or not, its process is found by source port."""
    program = """
import socket, sys
query = bytes.fromhex("0001010000010000000000000377777707") + b"example" + bytes.fromhex("03636f6d0000010001")
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == "connected":
    asker.connect(("10.77.0.2", 53))
    asker.send(query)
else:
    asker.sendto(query, ("10.77.0.2", 53))
print(asker.getsockname()[1])
sys.stdin.readline()
"""
    for how in ("connected", "unconnected"):
        with wire.a.watch() as seen:
            process = wire.a.python(program, how)
            asked = seen.wait_for(NameQueried)
        assert (asked.name, asked.owner) == ("www.example.com", read_stat(process.pid).process), how


def test_a_question_in_two_segments_is_put_together(wire, resolver):
    """DNS over TCP with its length sent apart from the message is read like any other."""
    program = """
import socket, sys, time
query = bytes.fromhex("0001010000010000000000000573706c697407") + b"example" + bytes.fromhex("03636f6d0000010001")
asker = socket.create_connection(("127.0.0.1", 53))
asker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for part in (len(query).to_bytes(2), query[:9], query[9:]):
    asker.sendall(part)
print(len(asker.recv(4096)))
sys.stdin.readline()
"""
    with wire.a.watch() as seen:
        process = wire.a.python(program)
        asked = seen.wait_for(NameQueried)
        answered = seen.wait_for(NameResolved)
        assert seen.sensor.counts.undecoded == 0
    assert (asked.name, asked.transport, asked.owner.pid) == ("split.example.com", "tcp", process.pid)
    assert answered.addresses == ("10.9.8.7",)


def test_hostile_datagrams_disturb_nothing(wire):
    """Rubbish, loops and claims of 65,535 records on port 53 are counted; the next question is seen as ever."""
    program = """
import os, socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
header = lambda *counts: b"\\0\\1\\1\\0" + b"".join(count.to_bytes(2) for count in counts)
hostile = [b"", b"\\0", os.urandom(11), header(1, 0, 0, 0) + b"\\xc0\\x0c\\0\\1\\0\\1",
    header(65535, 65535, 65535, 65535),
    header(1, 0, 0, 0) + b"\\x3f" * 400, header(1, 0, 0, 0) + b"\\x80abc\\0\\0\\1\\0\\1"]
for packet in hostile:
    sender.sendto(packet, ("127.0.0.2", 53))
label = bytes(range(256))[0xC0:0xFF]
sender.sendto(header(1, 0, 0, 0) + bytes([len(label)]) + label + b"\\3a.b\\0\\0\\1\\0\\1", ("127.0.0.2", 53))
"""
    with wire.a.watch() as seen:
        wire.a.run(sys.executable, "-c", program)
        asked = seen.wait_for(NameQueried)
        assert seen.sensor.counts.undecoded == 7
    assert asked.name.startswith("\\192\\193") and asked.name.endswith(".a\\046b")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("target", ["127.0.0.1:4443", "[::1]:4443"])
def test_the_server_name_of_openssl(wire, target):
    """The name a TLS client asks for is told with the client's process, on any port and in lower case."""
    wire_port = target.rpartition(":")[2]
    acceptor = wire.a.python(ACCEPTOR, wire_port)
    with wire.a.watch() as seen:
        client = wire.a.start("openssl", "s_client", "-connect", target, "-servername", "Pool.Example.NET")
        named_event = seen.wait_for(ServerNamed)
        owner = read_stat(client.pid).process
    acceptor.kill()
    acceptor.wait()
    assert (named_event.name, named_event.destination_port) == ("pool.example.net", 4443)
    assert (named_event.owner, named_event.attribution) == (owner, "exact")


def test_a_hello_over_a_real_link_is_seen_at_both_hosts(wire):
    """The client's side tells of the client; the server's side of the process that takes the connection."""
    acceptor = wire.b.python(ACCEPTOR, "4444")
    program = """
import socket, ssl, sys
context = ssl.create_default_context()
plain = socket.create_connection(("10.77.0.2", 4444))
print("open")
try:
    context.wrap_socket(plain, server_hostname="both.example.net")
except OSError:
    pass
"""
    with wire.a.watch() as at_a, wire.b.watch() as at_b:
        client = wire.a.python(program)
        near, far = at_a.wait_for(ServerNamed), at_b.wait_for(ServerNamed)
    assert near.name == far.name == "both.example.net"
    assert near.owner == read_stat(client.pid).process
    assert far.owner == read_stat(acceptor.pid).process


def test_the_probe_says_what_is_missing_without_the_capability():
    """Without CAP_NET_RAW the probe answers, with the reason and the remedy, and raises nothing."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    program = (
        "from outrider_sidecar.sensors.packets import probe_packet\n"
        "found = probe_packet(); print(found.available, found.remedy)"
    )
    command = ["setpriv", "--bounding-set=-net_raw", sys.executable, "-c", program]
    output = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if "setpriv:" in output.stderr:
        pytest.skip(output.stderr.strip())
    assert output.stdout.strip() == "False give the sidecar CAP_NET_RAW"
