"""A syslog receiver over UDP, TCP or TLS: messages one after another, framed by their length (RFC 6587, RFC 5425).

Syslog has no receipts: what was written before a receiver died may be lost, and over UDP anything may. A connection
that the other end has closed is noticed before the next message is written to it.
"""

import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from outrider_collector.export.configuration import Syslog, split_url
from outrider_collector.export.posting import trust
from outrider_collector.export.syslog import to_syslog
from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import DeliveryError

PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}
MAX_DATAGRAM: Final = 2048
MAX_MESSAGE: Final = 8192
"""What RFC 5426 and RFC 5425 ask every receiver to take."""
MAX_ITEMS: Final = 100


class SyslogTarget:
    """One receiver. Raises ConfigError for a CA file that cannot be used."""

    max_items = MAX_ITEMS

    def __init__(self, export: Syslog) -> None:
        where = f"export {export.name}"
        self._scheme, self._host, port, _ = split_url(export.url, ("udp", "tcp", "tls"), where)
        self._port = port or PORTS[self._scheme]
        self._tls = trust(export.ca_file, where) if self._scheme == "tls" else None
        self._export = export
        self._hostname = export.hostname or socket.gethostname()
        self._socket: socket.socket | None = None

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        until_s = time.monotonic() + self._export.timeout_s
        outcomes: list[Outcome] = []
        for each in found:
            try:
                self._write(self._message(each))
            except (OSError, ValueError) as error:
                self.close()
                if not outcomes:
                    raise DeliveryError(f"{type(error).__name__}: {error}"[:300]) from error
                break
            outcomes.append(SENT)
            if time.monotonic() > until_s:
                break
        return outcomes

    def close(self) -> None:
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _message(self, found: StoredFinding) -> bytes:
        is_udp = self._scheme == "udp"
        message = to_syslog(
            found,
            form=self._export.format,
            facility=self._export.facility,
            hostname=self._hostname,
            limit=MAX_DATAGRAM if is_udp else MAX_MESSAGE,
        )
        return message if is_udp else f"{len(message)} ".encode() + message

    def _write(self, message: bytes) -> None:
        if self._socket is not None and self._scheme != "udp" and _was_closed(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        self._socket.sendall(message)

    def _connect(self) -> socket.socket:
        if self._scheme == "udp":
            family, _, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.settimeout(self._export.timeout_s)
            made.connect(address)
            return made
        made = socket.create_connection((self._host, self._port), timeout=self._export.timeout_s)
        if self._tls is None:
            return made
        try:
            return self._tls.wrap_socket(made, server_hostname=self._host)
        except OSError:
            made.close()
            raise


def _was_closed(held: socket.socket) -> bool:
    """Whether the other end has let go: a receiver never writes, so what can be read is the end."""
    return bool(select.select([held], [], [], 0)[0])
