"""A child of the supervisor: how it is started, when it is started again, and whether it is well."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.watchdog import Watch

NAME: Final = "outrider"
BACKOFF_FIRST_S: Final = 0.01
BACKOFF_MOST_S: Final = 0.25
STEADY_S: Final = 5.0
"""A child that lived this long starts anew without delay."""
FAILED: Final = 70
WAKING: Final = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""The signals that the supervisor waits for, blocked in it and let through in its children."""


class Child:
    """One of the children: how it is started, and what became of it."""

    def __init__(self, name: str, beat: Slot, starts: Slot, run: Callable[[int], int]) -> None:
        self.name = name
        self.beat = beat
        self.starts = starts
        self.run = run
        self.pid = 0
        self.watch: Watch | None = None
        self.stopped = False
        self.standing = False
        self.died_ns = 0
        self.start_at_s = 0.0
        self._started_s = 0.0
        self._backoff_s = 0.0

    def start(self, heartbeat: Heartbeat, now_s: float) -> None:
        """Fork it."""
        heartbeat[self.starts] += 1
        heartbeat.beat(self.beat)
        self._started_s = now_s
        self.pid = _fork(self.run, heartbeat[self.starts])
        self.watch = Watch(self.pid, self.beat)
        self.stopped = self.standing = False

    def is_well(self, now_s: float) -> bool:
        """Whether it runs, moves as far as can be told, and did not end again and again of late."""
        is_steady = self._backoff_s < BACKOFF_MOST_S or now_s - self._started_s > STEADY_S
        return self.pid != 0 and not self.stopped and not self.standing and is_steady

    def died(self, now_s: float) -> None:
        """Note its end and when to start it again: at once after a long life, later and later after short ones."""
        self.pid = 0
        self.watch = None
        self.died_ns = time.time_ns()
        if now_s - self._started_s > STEADY_S:
            self._backoff_s = 0.0
        self.start_at_s = now_s + self._backoff_s
        self._backoff_s = min(max(BACKOFF_FIRST_S, self._backoff_s * 2), BACKOFF_MOST_S)


def _fork(run: Callable[[int], int], generation: int) -> int:
    """Fork a child that does nothing but `run`, in a process group of its own, and dies with us."""
    supervisor_pid = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        prctl.set_dumpable(False)
        prctl.set_name(NAME)
        os.setpgid(0, 0)  # what the terminal sends to the foreground is not for us
        prctl.set_parent_death_signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKING)
        if os.getppid() == supervisor_pid:
            code = run(generation)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else FAILED
    except BaseException:  # noqa: BLE001  # the top of a process: nobody above could say what happened
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
