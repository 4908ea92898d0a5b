"""A load balancer of tests: one address, several backends in turn, and those that are dead are passed over."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

CONNECT_S = 2.0
CHUNK_BYTES = 64 << 10


class RoundRobin:
    """Hands each connection to the next backend that takes it; `counts` says how many each one got."""

    def __init__(self, backends: list[tuple[str, int]]) -> None:
        self.backends = backends
        self.counts = [0] * len(backends)
        self._turns = itertools.count()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            backend = self._connect()
            if backend is None:
                return
            with backend:
                back = threading.Thread(target=_pump, args=(backend, client), daemon=True)
                back.start()
                _pump(client, backend)
                back.join()

    def _connect(self) -> socket.socket | None:
        with self._lock:
            first = next(self._turns)
        for step in range(len(self.backends)):
            index = (first + step) % len(self.backends)
            with contextlib.suppress(OSError):
                backend = socket.create_connection(self.backends[index], timeout=CONNECT_S)
                backend.settimeout(None)
                with self._lock:
                    self.counts[index] += 1
                return backend
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source ends or either breaks, then tell both ends."""
    with contextlib.suppress(OSError):
        while part := source.recv(CHUNK_BYTES):
            sink.sendall(part)
    for each in (sink, source):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_WR if each is sink else socket.SHUT_RD)


@contextlib.contextmanager
def balanced(backends: list[tuple[str, int]]) -> Iterator[RoundRobin]:
    """A running one."""
    balancer = RoundRobin(backends)
    try:
        yield balancer
    finally:
        balancer.close()
