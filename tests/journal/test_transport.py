"""The transport against real sockets: collectors that vanish, hang, drip, lie or are none."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from outrider_sidecar.transport import HttpTransport
from outrider_wire.errors import ConfigError, DeliveryError, WireError

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"agent":"a","sequence":1'

Serve = Callable[[socket.socket], None]


@pytest.fixture
def server() -> Iterator[Callable[[Serve], str]]:
    """Starts a server on loopback that does to each connection what it is given; returns its URL."""
    listeners: list[socket.socket] = []

    def start(serve: Serve) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    """One request with its body."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65536)
        if not part:
            return b""
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Serve:
    """Gives these answers to the requests of one connection, then closes it."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            if not read_request(connection):
                return
            connection.sendall(answer)

    return serve


def said(status: str, body: bytes, *headers: bytes) -> bytes:
    """An HTTP answer."""
    extra = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status.encode(), len(body), extra, body)


RECEIPT = said("200 OK", b'{"agent":"a","sequence":1}')


def test_one_connection_serves_many_batches(server: Callable[[Serve], str]) -> None:
    """The connection is kept, and made anew when the collector has closed it meanwhile."""
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(1)
        answering(RECEIPT, RECEIPT)(connection)

    transport = HttpTransport(server(serve))
    assert [transport.send(b"x", timeout_s=5.0).sequence for _ in range(4)] == [1] * 4
    assert len(connections) == 2
    transport.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"garbage\r\n\r\n", OK, said("200 OK", b"<html>"), said("200 OK", b"[" * 50_000),
        said("404 No", b"<html>"), said("500 Oh", b""),
        said("302 Found", b"", b"Location: http://127.0.0.1:1/"), said("408 Slow", b"{}"),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_delivery_error(server: Callable[[Serve], str], answer: bytes) -> None:
    """Whatever comes back that is not the collector's own words, the batch is kept for later."""
    with pytest.raises(DeliveryError):
        HttpTransport(server(answering(answer))).send(b"x", timeout_s=0.5)


def test_the_collectors_own_refusal_is_a_wire_error(server: Callable[[Serve], str]) -> None:
    """Its code arrives."""
    url = server(answering(said("409 Conflict", b'{"code":"fork","detail":"two"}')))
    with pytest.raises(WireError) as caught:
        HttpTransport(url).send(b"x", timeout_s=5.0)
    assert (caught.value.code, caught.value.detail) == ("fork", "two")


@pytest.mark.parametrize(("header", "wish_s"), [(b"7", 7.0), (b"999999999", 300.0), (b"-1", None), (b"soon", None)])
def test_retry_after_is_read_within_reason(server: Callable[[Serve], str], header: bytes, wish_s: float | None) -> None:
    """Seconds are honoured up to a bound, anything else ignored."""
    url = server(answering(said("429 Busy", b"{}", b"Retry-After: " + header)))
    with pytest.raises(DeliveryError) as caught:
        HttpTransport(url).send(b"x", timeout_s=5.0)
    assert (caught.value.retry_after_s, caught.value.refused) == (wish_s, True)


def test_a_collector_that_hangs_is_given_up(server: Callable[[Serve], str]) -> None:
    """An answer that never comes costs the timeout, no more."""
    release = threading.Event()
    url = server(lambda connection: (read_request(connection), release.wait(10.0), None)[-1])
    with pytest.raises(DeliveryError):
        HttpTransport(url).send(b"x", timeout_s=0.2)
    release.set()


def test_a_collector_that_is_not_there_is_a_delivery_error() -> None:
    """A closed port and a name that does not resolve are the network's doing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeliveryError):
        HttpTransport(f"http://127.0.0.1:{port}").send(b"x", timeout_s=1.0)


@pytest.mark.parametrize("url", ["", "collector:8440", "ftp://x", "http://", "http://h:port", "http://h:99999"])
def test_an_address_that_is_none_is_the_operators_to_mend(url: str) -> None:
    """It is refused at start, with what it should look like."""
    with pytest.raises(ConfigError):
        HttpTransport(url)


def test_a_ca_file_that_is_none_is_the_operators_to_mend() -> None:
    """TLS settings are checked at start."""
    with pytest.raises(ConfigError):
        HttpTransport("https://127.0.0.1:1", ca_file="/nonexistent")
