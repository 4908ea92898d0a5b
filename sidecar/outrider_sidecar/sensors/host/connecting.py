"""Where the proc connector is listened to: in the network of the machine's first processes, whichever ours is.

The kernel sends to sockets of the first network namespace alone. A daemon's task that shares the machine's processes
may have a network of its own all the same (ECS Managed Daemons); a socket belongs to the network it was made in, so it
is made there.
"""

from pathlib import Path
from typing import Final

from outrider_sidecar.linux.netns import entered
from outrider_sidecar.linux.proc_connector import ProcConnector
from outrider_sidecar.linux.procfs import PROC
from outrider_sidecar.sensors.host.census import KTHREADD
from outrider_wire.errors import ProcessGone, Unavailable

FIRST: Final = (1, KTHREADD)


def open_connector(*, buffer_bytes: int, proc: Path = PROC) -> ProcConnector:
    """Listen there, or here where that may not be entered. For one thread. Raises OSError where it is refused."""
    for pid in FIRST:
        try:
            with entered(pid, proc=proc):
                return ProcConnector(buffer_bytes=buffer_bytes)
        except (ProcessGone, Unavailable):
            continue  # it may not be read, or not be followed there
    return ProcConnector(buffer_bytes=buffer_bytes)
