"""Our ptrace numbers and records agree with an independent oracle."""

import os
import signal
import subprocess

import pytest

from outrider_sidecar.linux import birth, execfacts, procfs, ptrace

oracle = pytest.importorskip("ptrace.binding.func")


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


def test_a_stat_line_means_the_same_to_both_parsers():
    """The exec stop's parser and procfs agree on a real process."""
    with open("/proc/self/stat", "rb") as file:
        raw = file.read()
    ours, theirs = birth.parse_birth(raw), procfs.parse_stat(raw)
    names = ("comm", "state", "ppid", "pgid", "sid", "tty", "start_ticks")
    assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]


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
