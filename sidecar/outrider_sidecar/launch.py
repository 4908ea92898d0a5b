"""Starting the command of `outrider watch` so that it is seized before its first instruction.

The child is forked by the process the user started, stays in its process group and on its terminal, and waits at
a gate: a pipe that is closed when the tracer holds it. Should the tracer not come, the gate opens all the same.
The child opens itself to the tracer (dumpable, PR_SET_PTRACER) because without root nothing else would allow it;
execve sets that back.
"""

import os
import signal
import sys
from collections.abc import Sequence

from msgspec import Struct

from outrider_sidecar.linux import prctl

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class Launched(Struct):
    """A command that waits at its gate, or has passed it (`gate_fd` is -1)."""

    pid: int
    gate_fd: int

    def open_gate(self) -> None:
        """Let the command start."""
        if self.gate_fd >= 0:
            os.close(self.gate_fd)
            self.gate_fd = -1


def launch(argv: Sequence[str]) -> Launched:
    """Fork a child that becomes `argv` once its gate opens. Raises OSError where there can be no child."""
    waiting_fd, gate_fd = os.pipe2(os.O_CLOEXEC)
    supervisor_pid = os.getpid()
    pid = os.fork()
    if pid:
        os.close(waiting_fd)
        return Launched(pid, gate_fd)
    code = NOT_EXECUTABLE
    try:
        os.close(gate_fd)
        prctl.set_dumpable(True)
        prctl.allow_tracer(supervisor_pid)
        os.read(waiting_fd, 1)
        _restore_signals()
        os.execvp(argv[0], list(argv))
    except FileNotFoundError as error:
        code = _say(argv[0], error, NOT_FOUND)
    except OSError as error:
        code = _say(argv[0], error, NOT_EXECUTABLE)
    finally:
        os._exit(code)


def exit_code(status: int) -> int:
    """What a shell would say of this wait(2) status."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _restore_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTOU, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _say(name: str, error: OSError, code: int) -> int:
    sys.stderr.write(f"outrider: {name}: {error.strerror}\n")
    sys.stderr.flush()
    return code
