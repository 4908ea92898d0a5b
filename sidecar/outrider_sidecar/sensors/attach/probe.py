"""Finding out whether the attach sense works here, by doing it."""

import os
import signal
import time
from pathlib import Path

from outrider_sidecar.linux import prctl, ptrace
from outrider_sidecar.linux.procfs import PROC, list_pids
from outrider_sidecar.sensors import Capability
from outrider_sidecar.sensors.attach.options import namespace_of_self
from outrider_sidecar.sensors.attach.outlet import SENSE
from outrider_wire.errors import ProcessGone, Unavailable

SENSOR = "attach"
REMEDY = "give the sidecar CAP_SYS_PTRACE"
WAIT_S = 2.0


def probe_attach(*, in_task: bool = False, proc: Path = PROC) -> Capability:
    """Seize a child that we forked; with `in_task` also see that another container's process may be read, if any may.

    To be called where no other thread waits for children.
    """
    try:
        _seize_own_child()
    except (OSError, Unavailable) as error:
        return Capability(SENSE, SENSOR, False, f"PTRACE_SEIZE of an own child failed: {error}", REMEDY)
    if in_task and (forbidden := _forbidden_neighbour(proc)):
        return Capability(SENSE, SENSOR, False, f"process {forbidden} of another container may not be traced", REMEDY)
    return Capability(SENSE, SENSOR, True, "PTRACE_SEIZE of an own child worked, and its exec and exit were seen")


def _seize_own_child() -> None:
    """Seize a child, see its exec and its exit. Raises OSError, Unavailable."""
    gate, opener = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            prctl.set_dumpable(True)
            prctl.set_parent_death_signal(signal.SIGKILL)
            os.close(opener)
            os.read(gate, 1)
            os.execv("/proc/self/exe", ["outrider", "-S", "-c", ""])
        finally:
            os._exit(1)
    os.close(gate)
    try:
        prctl_done = _wait_dumpable(pid)
        ptrace.seize(pid, ptrace.LEADER_OPTIONS)
        os.close(opener)
        opener = -1
        _follow(pid, prctl_done)
    finally:
        if opener >= 0:
            os.close(opener)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, ptrace.WALL)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended, as it should


def _wait_dumpable(pid: int) -> float:
    """Wait until the child opened itself to us: an owner other than root shows it, and root need not wait."""
    deadline = time.monotonic() + WAIT_S
    while os.geteuid() and os.stat(f"/proc/{pid}/mem").st_uid != os.geteuid() and time.monotonic() < deadline:
        time.sleep(0.001)
    return deadline


def _follow(pid: int, deadline: float) -> None:
    seen = set()
    while time.monotonic() < deadline:
        tid, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            break
        seen.add(status >> 16)
        ptrace.resume(tid, 0 if status >> 16 else os.WSTOPSIG(status))
    if not {ptrace.EVENT_EXEC, ptrace.EVENT_EXIT} <= seen:
        raise Unavailable(f"events {sorted(seen)} came, exec and exit did not")


def _forbidden_neighbour(proc: Path) -> int:
    """A process that we may not read as a tracer, where no process of another mount namespace may be; else 0."""
    own = namespace_of_self(proc=proc)
    forbidden = 0
    for pid in list_pids(proc=proc):
        try:
            if os.stat(f"{proc}/{pid}/ns/mnt").st_ino != own:
                return 0
        except PermissionError:
            forbidden = forbidden or pid
        except (OSError, ProcessGone):
            continue
    return forbidden
