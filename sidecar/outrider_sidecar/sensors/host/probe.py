"""Finding out whether the proc connector works here, by doing it."""

import os
import select
import time
from typing import Final

from outrider_sidecar.linux.proc_connector import ProcConnector
from outrider_sidecar.sensors import Capability
from outrider_sidecar.sensors.attach.outlet import SENSE
from outrider_sidecar.sensors.host.connecting import open_connector
from outrider_sidecar.sensors.host.life import SENSOR

WAIT_S: Final = 1.0
BUFFER_BYTES: Final = 1024 * 1024
REMEDY: Final = (
    "run it as root with CAP_NET_ADMIN in the machine's own network and PID namespaces (networkMode and pidMode host)"
)


def probe_connector(*, wait_s: float = WAIT_S) -> Capability:
    """Listen, and see the life of a child that we fork. To be called where no other thread waits for children."""
    try:
        connector = open_connector(buffer_bytes=BUFFER_BYTES)
    except OSError as error:
        return Capability(SENSE, SENSOR, False, f"the proc connector was refused: {error.strerror}", REMEDY)
    try:
        seen = _see_own_child(connector, wait_s)
    finally:
        connector.close()
    if {"fork", "exec", "exit"} <= seen:
        return Capability(SENSE, SENSOR, True, "the proc connector told of an own child's fork, exec and exit")
    told = ", ".join(sorted(seen)) or "nothing"
    return Capability(SENSE, SENSOR, False, f"the proc connector told {told} of an own child", REMEDY)


def _see_own_child(connector: ProcConnector, wait_s: float) -> set[str]:
    child = os.posix_spawn("/proc/self/exe", ["outrider", "-S", "-E", "-c", ""], {})
    os.waitpid(child, 0)
    seen: set[str] = set()
    deadline_s = time.monotonic() + wait_s
    poller = select.poll()
    poller.register(connector.rest_fileno(), select.POLLIN)
    while "exit" not in seen and (left_s := deadline_s - time.monotonic()) > 0 and poller.poll(left_s * 1000):
        seen |= {message.what for message in connector.receive() if message.pid == child}
    return seen
