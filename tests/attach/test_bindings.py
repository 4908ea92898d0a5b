"""Our ptrace numbers and records agree with an independent oracle."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from outrider_sidecar.linux import execfacts, procfs, ptrace

oracle = pytest.importorskip("ptrace.binding.func")
linux_proc = pytest.importorskip("ptrace.linux_proc")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ptrace.CONT, "PTRACE_CONT"),
        (ptrace.DETACH, "PTRACE_DETACH"),
        (ptrace.SETOPTIONS, "PTRACE_SETOPTIONS"),
        (ptrace.GETEVENTMSG, "PTRACE_GETEVENTMSG"),
        (ptrace.GETSIGINFO, "PTRACE_GETSIGINFO"),
        (ptrace.O_TRACEFORK, "PTRACE_O_TRACEFORK"),
        (ptrace.O_TRACEVFORK, "PTRACE_O_TRACEVFORK"),
        (ptrace.O_TRACECLONE, "PTRACE_O_TRACECLONE"),
        (ptrace.O_TRACEEXEC, "PTRACE_O_TRACEEXEC"),
        (ptrace.O_TRACEEXIT, "PTRACE_O_TRACEEXIT"),
        (ptrace.EVENT_FORK, "PTRACE_EVENT_FORK"),
        (ptrace.EVENT_VFORK, "PTRACE_EVENT_VFORK"),
        (ptrace.EVENT_CLONE, "PTRACE_EVENT_CLONE"),
        (ptrace.EVENT_EXEC, "PTRACE_EVENT_EXEC"),
        (ptrace.EVENT_EXIT, "PTRACE_EVENT_EXIT"),
    ],
)
def test_numbers_agree_with_python_ptrace(ours, theirs):
    """Each request, option and event has the number python-ptrace has for it."""
    assert ours == getattr(oracle, theirs)


def test_no_option_kills_tracees():
    """EXITKILL is in no set of options: our death frees everybody."""
    exit_kill = 1 << 20
    assert not (ptrace.LEADER_OPTIONS | ptrace.THREAD_OPTIONS) & exit_kill


def test_a_stat_line_means_what_python_ptrace_and_the_kernel_say():
    """Fields counted from the last parenthesis agree with an independent parser and with the system calls."""
    ours, theirs = procfs.read_stat(os.getpid()), linux_proc.readProcessStat(os.getpid())
    assert (ours.pid, ours.ppid, ours.pgid, ours.sid) == (os.getpid(), os.getppid(), os.getpgrp(), os.getsid(0))
    assert (ours.tty, ours.start_ticks) == (theirs.tty_nr, theirs.starttime)
    (stack,) = [
        line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("[stack]")
    ]
    begin, end = (int(address, 16) for address in stack.split("-"))
    assert begin <= ours.stack < end


def test_facts_of_a_running_process_agree_with_those_of_its_stack():
    """What is read slowly from /proc is what one read of the initial stack gives."""
    process = subprocess.Popen(["/bin/sleep", "30"], env={"LD_LIBRARY_PATH": "/x", "OTHER": "y"})
    try:
        reader = execfacts.FactReader()
        slow, quick = reader.read(process.pid, parent=None, seen="found"), reader.capture(process.pid).event(None)
        assert quick.execfn == "/bin/sleep"
        for name in ("argv", "env", "uid", "euid", "gid", "egid", "exe", "cwd", "stdio", "tty", "pgid", "sid"):
            assert getattr(slow, name) == getattr(quick, name)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_memory_that_is_not_there_is_an_error():
    """Reading an unmapped address raises OSError."""
    with pytest.raises(OSError):
        ptrace.read_memory(os.getpid(), 8, 64)
