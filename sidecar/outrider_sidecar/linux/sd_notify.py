"""Speaking to the service manager: sd_notify(3), sd_watchdog_enabled(3).

Facts that shape this file:

- It is one datagram of lines to a UNIX socket whose address is in $NOTIFY_SOCKET. One that begins with `@` is an
  abstract one: the kernel's name for it begins with a zero byte. Others (`vsock:`) are of machines inside machines.
- $WATCHDOG_USEC says within how long a beat must come, once the service is ready; $WATCHDOG_PID, where it is set, who
  is to beat. A manager that hears none sends the unit's WatchdogSignal and starts the unit anew, as Restart says.
- The manager knows by the credentials of the datagram who sent it, and with NotifyAccess=main heeds that one alone.

Nobody may be hurt by a manager that is not there, so nothing is awaited and no failure is an error: a beat that does
not arrive is a beat that was not sent. The socket is made for each datagram, some every ten seconds, and no child
inherits it.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

READY: Final = b"READY=1"
BEAT: Final = b"WATCHDOG=1"
BEATS: Final = 3
"""So many times a beat is sent in the time in which one must arrive."""


class ServiceManager:
    """Who started us as a service, and is told that we are ready and that we live. For one process."""

    def __init__(self, address: str, *, within_ns: int = 0, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """`within_ns` is how long the manager waits for a beat, 0 where it expects none."""
        self._address = b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)
        self._every_ns = within_ns // BEATS
        self._clock_ns = clock_ns
        self._sent_ns = 0
        self._is_ready = False

    def say_ready(self) -> None:
        """The service is up; told once."""
        if not self._is_ready:
            self._is_ready = True
            self._send(READY)

    def beat(self) -> None:
        """The service is well. To be called often; sent when it is due."""
        now_ns = self._clock_ns()
        if self._every_ns and now_ns - self._sent_ns >= self._every_ns:
            self._sent_ns = now_ns
            self._send(BEAT)

    def _send(self, message: bytes) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message, self._address)
        except OSError:
            return  # it is not there, or not allowed, or has too much to read: nobody here is helped by knowing


def find_service_manager(environ: Mapping[str, str], *, pid: int) -> ServiceManager | None:
    """The service manager of this process, as its environment says; None where there is none that can be told."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or len(address) < 2 or "\0" in address:
        return None
    within_us, watched = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    is_watched = within_us.isascii() and within_us.isdigit() and watched in ("", str(pid))
    return ServiceManager(address, within_ns=int(within_us) * 1_000 if is_watched else 0)
