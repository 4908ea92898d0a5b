"""System calls that a program's command line stands for, where the call itself is not seen.

unshare(1) exists to make one call, nsenter(1) another, and a debugger that is given a pid attaches to it. The call
may still fail, and the same call made by any other program is not seen: what is told is labelled inferred.
"""

import posixpath
from typing import Final

from outrider_wire.events import ProcessExecuted, SyscallMade

_TRACERS: Final = {"strace": "PTRACE_SEIZE", "ltrace": "PTRACE_ATTACH", "gdb": "PTRACE_ATTACH"}
_PID_OPTIONS: Final = ("-p", "--pid", "--attach")


def deduce_syscalls(event: ProcessExecuted) -> list[SyscallMade]:
    """The rare calls that this program was started to make; none for a program that was found running."""
    if event.seen != "exec" or not event.argv:
        return []
    name = posixpath.basename(event.exe.path)
    if name == "unshare":
        return [_call(event, "unshare", {"flags": _namespaces(event.argv)})]
    if name == "nsenter":
        return [_call(event, "setns", {})]
    if name in _TRACERS and any(argument.startswith(_PID_OPTIONS) for argument in event.argv[1:]):
        return [_call(event, "ptrace", {"request": _TRACERS[name]})]
    return []


def _call(event: ProcessExecuted, name: str, arguments: dict[str, str]) -> SyscallMade:
    return SyscallMade(event.at_ns, event.process, name, arguments, attribution="inferred")


def _namespaces(argv: tuple[str, ...]) -> str:
    kinds = {"--user": "CLONE_NEWUSER", "--mount": "CLONE_NEWNS", "--net": "CLONE_NEWNET", "--pid": "CLONE_NEWPID"}
    short = {"-U": "CLONE_NEWUSER", "-m": "CLONE_NEWNS", "-n": "CLONE_NEWNET", "-p": "CLONE_NEWPID"}
    found = [(kinds | short)[word] for word in argv if word in kinds or word in short]
    return "|".join(found)
