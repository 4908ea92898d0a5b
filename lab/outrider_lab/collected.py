"""Asking the lab's collector for findings, from outside its network.

A socket belongs to the network namespace it was made in. So the asking program steps into the lab's namespace to
make one, steps back, and speaks HTTP over it: no helper process, no port on this machine.
"""

import http.client
import socket
import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from outrider_lab.namespaces import CLONE_NEWNET, entered
from outrider_lab.network import COLLECTOR_ADDRESS, COLLECTOR_PORT
from outrider_wire.errors import DeliveryError
from outrider_wire.findings import Finding

POLL_S: Final = 0.02
REQUEST_TIMEOUT_S: Final = 5.0
MAX_BODY_BYTES: Final = 64 << 20


class FindingsQuery(Struct, frozen=True):
    """Where the collector's network is (a path of /proc), the token that it wants, and its address there."""

    network_namespace: str
    token: str
    address: tuple[str, int] = (COLLECTOR_ADDRESS, COLLECTOR_PORT)


class _Findings(Struct):
    findings: list[Finding]


def connect(network_namespace: str, address: tuple[str, int], *, timeout_s: float) -> socket.socket:
    """A TCP connection from inside a network namespace. Raises OSError."""
    with entered(network_namespace, CLONE_NEWNET):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def get(query: FindingsQuery, path: str) -> bytes:
    """The body the collector answers with at `path`. Raises DeliveryError."""
    connection = http.client.HTTPConnection(*query.address)
    try:
        connection.sock = connect(query.network_namespace, query.address, timeout_s=REQUEST_TIMEOUT_S)
        connection.request("GET", path, headers={"Authorization": f"Bearer {query.token}"})
        response = connection.getresponse()
        body = response.read(MAX_BODY_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"the collector does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise DeliveryError(f"the collector answered {response.status}: {body[:200]!r}", refused=True)
    return body


def fetch_findings(query: FindingsQuery) -> list[Finding]:
    """Every finding the collector holds, oldest first. Raises DeliveryError."""
    found = msgspec.json.decode(get(query, "/v1/occurrences?limit=1000"), type=_Findings).findings
    return sorted(found, key=lambda finding: finding.at)


def wait_for_findings(
    query: FindingsQuery, holds: Callable[[list[Finding]], bool] | None, *, timeout_s: float
) -> list[Finding]:
    """Ask until `holds` is true of the answer or the time is up; then the last answer. Raises DeliveryError."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found = fetch_findings(query)
            if holds is None or holds(found):
                return found
        except DeliveryError:
            if time.monotonic() > deadline:
                raise
            found = []
        if time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)
