"""Patience with a whole exchange: a socket's own timeout is for each wait alone, and a byte a second never ends it."""

import contextlib
import socket
import threading


class Patience:
    """Hangs up when the time is over. `ended` says so then: what was read by that time is not whole."""

    def __init__(self, timeout_s: float) -> None:
        self.ended = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._hang_up)
        self._timer.daemon = True

    def begin(self, connected: socket.socket) -> None:
        """The time of an exchange over this socket begins."""
        self._socket = connected
        self._timer.start()

    def cancel(self) -> None:
        """It came to its end, or never began."""
        self._timer.cancel()

    def _hang_up(self) -> None:
        self.ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it was over at that very moment
                self._socket.shutdown(socket.SHUT_RDWR)
