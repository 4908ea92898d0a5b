"""Real receivers on loopback for what is sent: HTTP servers that misbehave as they are told, and syslog listeners."""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEADLINE_S = 20.0


def wait_until(holds: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, not longer than a deadline."""
    until_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < until_s, "it did not come to hold"
        time.sleep(0.01)


@dataclass
class Post:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


Behaviour = Callable[["Post", BaseHTTPRequestHandler], None]
"""What is done with a request; it may answer, hang or close."""


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """Answers with a status."""

    def behave(post: Post, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def close(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """Closes without a word."""
    handler.close_connection = True


def drip(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """Answers one byte at a time, never the whole."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)


def hang(post: Post, handler: BaseHTTPRequestHandler) -> None:
    """Does not answer until the other end gives up."""
    with contextlib.suppress(OSError):
        handler.connection.settimeout(DEADLINE_S)
        handler.connection.recv(1)
    handler.close_connection = True


@dataclass
class Receiver:
    """A server whose next requests meet the behaviours in `script`, and those after them `otherwise`."""

    script: list[Behaviour] = field(default_factory=list)
    otherwise: Behaviour = field(default_factory=lambda: answer(200))
    posts: list[Post] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    @property
    def ids(self) -> list[str]:
        """The Outrider-Id of each request."""
        return [post.headers["outrider-id"] for post in self.posts]


@contextlib.contextmanager
def running_receiver(*, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver at a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            post = Post(self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
            behave = receiver.script.pop(0) if receiver.script else receiver.otherwise
            receiver.posts.append(post)
            behave(post, self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that went away is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running_listener(*, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes], list[socket.socket]]]:
    """A TCP listener: its port, what each connection brought, and the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    brought: list[bytes] = []
    held: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
            except OSError:
                if listener.fileno() < 0:
                    return
                continue
            brought.append(b"")
            held.append(connection)
            threading.Thread(target=read, args=(connection, len(brought) - 1), daemon=True).start()

    def read(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                brought[number] += data

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], brought, held
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in held:
            connection.close()
