"""What the gate is told before the forks, and what both ends of it share."""

import os
import socket
from pathlib import Path

from msgspec import Struct

from outrider_sidecar.gate.ledger import Ledger
from outrider_sidecar.linux.permission import probe_permission
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors import Capability
from outrider_sidecar.settings import Settings
from outrider_wire.errors import Unavailable


class GateOptions(Struct, frozen=True):
    """`dry_run`: everything as if, but nobody is refused. `limit` is the most refusals in a minute."""

    dry_run: bool
    budget_ms: int = 50
    limit: int = 30
    proc: Path = PROC


class Pair(Struct, frozen=True):
    """Both ends of the socket pair, and the ledger. Made before the first fork; the supervisor keeps all of it open."""

    gate_fd: int
    engine_fd: int
    ledger: Ledger


def gate_options(settings: Settings) -> GateOptions | None:
    """What the settings ask for; None where nobody is to be refused."""
    if settings.respond == "off":
        return None
    return GateOptions(
        dry_run=settings.respond == "dry-run", budget_ms=settings.respond_budget_ms, limit=settings.respond_limit
    )


def open_pair() -> Pair:
    """To be called once, before the first fork."""
    gate_end, engine_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (gate_end, engine_end):
        os.set_inheritable(end.fileno(), False)
    return Pair(gate_end.detach(), engine_end.detach(), Ledger())


def probe_gate() -> Capability:
    """Whether the kernel would ask before programs start, found out by doing it."""
    try:
        probe_permission()
    except Unavailable as error:
        return Capability("respond", "gate", False, error.reason, error.remedy)
    return Capability("respond", "gate", True, "a fanotify group that is asked before a program starts was made")
