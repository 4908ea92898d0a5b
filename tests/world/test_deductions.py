"""Calls that a command line stands for."""

import pytest

from outrider_sidecar.world.deductions import deduce_syscalls
from outrider_wire.events import FileFacts, ProcessExecuted, ProcessId


def executed(exe: str, *argv: str, seen: str = "exec") -> ProcessExecuted:
    return ProcessExecuted(1, ProcessId(7, 70), exe=FileFacts(exe), argv=argv, seen=seen)


@pytest.mark.parametrize(
    ("exe", "argv", "name", "arguments"),
    [
        ("/usr/bin/unshare", ("unshare", "--user", "sh"), "unshare", {"flags": "CLONE_NEWUSER"}),
        ("/usr/bin/unshare", ("renamed", "-U", "-m"), "unshare", {"flags": "CLONE_NEWUSER|CLONE_NEWNS"}),
        ("/usr/bin/nsenter", ("nsenter", "-t", "1", "-m"), "setns", {}),
        ("/usr/bin/strace", ("strace", "-p", "9"), "ptrace", {"request": "PTRACE_SEIZE"}),
        ("/usr/bin/gdb", ("gdb", "--pid=9"), "ptrace", {"request": "PTRACE_ATTACH"}),
    ],
)
def test_a_program_that_exists_to_make_a_call_stands_for_it(exe, argv, name, arguments):
    """The call is told of the process itself, and as inferred."""
    (call,) = deduce_syscalls(executed(exe, *argv))
    assert (call.name, call.arguments, call.process.pid) == (name, arguments, 7)
    assert call.attribution == "inferred"


@pytest.mark.parametrize(
    ("exe", "argv"),
    [
        ("/usr/bin/strace", ("strace", "ls")),
        ("/usr/bin/cat", ("cat", "unshare")),
        ("/usr/bin/unshare", ()),
        ("", ("unshare",)),
    ],
)
def test_other_programs_stand_for_nothing(exe, argv):
    """A tracer of its own child, a name among the arguments, an unknown program: nothing is made up."""
    assert deduce_syscalls(executed(exe, *argv)) == []


def test_a_program_that_was_found_running_stands_for_nothing():
    """When it made its call is not known."""
    assert deduce_syscalls(executed("/usr/bin/unshare", "unshare", "-U", seen="found")) == []
