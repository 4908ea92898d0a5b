"""What a program is, when it may have ended before anybody could look: facts put together of what is left.

Pure. In this order: what /proc told of the process itself; what it opened to be executed, as fanotify told; what its
parent was when it was forked. Of the last come only what a fork passes on and an exec leaves alone: ids (unless the
file is set-user-id), directory, session and terminal. They may have changed between fork and exec, so they stand in
`missing` still: not read of the process. Arguments, environment and descriptors are never guessed.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from outrider_sidecar.decode.script import is_linker
from outrider_wire.events import FileFacts, ProcessExecuted

Grade = Literal["whole", "completed", "poor"]
"""whole: all was read of the process. completed: its program is known, and not all else. poor: not even that."""

MINOR: Final = frozenset(("cgroup", "sockets", "script"))
"""Facts that may be missing of a program that was read in time."""
MAX_LEFT: Final = 32
"""Most files that are kept for execs that are not told of yet."""
_SET_ID: Final = 0o6000


class Opened(Struct, frozen=True, gc=False):
    """What one exec opened: the program, and the script whose interpreter it is."""

    exe: FileFacts
    script: FileFacts | None = None


def split_opened(files: Sequence[FileFacts], execs: int = 1) -> list[list[FileFacts]]:
    """The files that a process opened for exec, by exec; `execs` is how many were told of.

    The kernel opens the script if it is one, then the interpreter or program, then its dynamic linker. Programs
    without one cannot be told from a script and its interpreter, but by their number.
    """
    if 1 < execs == len(files) and not any(is_linker(file.path) for file in files):
        return [[file] for file in files]
    found: list[list[FileFacts]] = [[]]
    for file in files:
        found[-1].append(file)
        if is_linker(file.path):
            found.append([])
    return [group for group in found if group]


def name_opened(group: Sequence[FileFacts]) -> Opened:
    """Which of the files of one exec is what. Whoever opened a linker alone runs that."""
    programs = [file for file in group if not is_linker(file.path)] or group[:1]
    return Opened(programs[-1], programs[0] if len(programs) > 1 else None)


def take_opened(
    files: Sequence[FileFacts], exe: FileFacts, *, later: int = 0, is_late: bool = True
) -> tuple[Opened | None, list[FileFacts]]:
    """What the exec opened that is told of now, if that is known, and what is left for the next ones.

    `exe` is the program that was read, perhaps `is_late`, `later` how many execs of the same process wait behind it.
    What was read late and was opened by a later exec, even one whose message is yet to come, is not of this one.
    """
    groups = split_opened(files, later + 1)
    if not groups:
        return None, []
    first = name_opened(groups[0])
    rest = [file for group in groups[1:] for file in group][-MAX_LEFT:]
    if not exe.path or _is_same(first.exe, exe):
        return first, rest
    is_of_later = any(_is_same(name_opened(group).exe, exe) for group in groups[1:])
    if is_late and is_of_later and not is_linker(first.exe.path):
        return first, rest
    return None, []  # what it ran lies where nobody watches: whose the rest is cannot be told


def _is_same(one: FileFacts, other: FileFacts) -> bool:
    return one.path == other.path or (one.dev, one.ino) == (other.dev, other.ino) != (0, 0)


def complete(
    event: ProcessExecuted, opened: Opened | None, before: ProcessExecuted | None
) -> tuple[ProcessExecuted, Grade]:
    """The record of an exec as far as it is known; `before` is what the process ran before, or its parent.

    Where it opened another program than was read, all that was read is of another exec.
    """
    if opened is not None and event.exe.path and not _is_same(opened.exe, event.exe):
        event = ProcessExecuted(event.at_ns, event.process, event.parent, missing=("process",), sensor=event.sensor)
    event = msgspec.structs.replace(event, missing=_unread(event))
    if not event.exe.path and opened is not None:
        missing = tuple(what for what in event.missing if what != "exe")
        event = msgspec.structs.replace(event, exe=opened.exe, script=opened.script or event.script, missing=missing)
    if before is not None and _is_incomplete(event):
        event = _inherit(event, before)
    return event, grade_of(event)


def grade_of(event: ProcessExecuted) -> Grade:
    """How much of an exec is known."""
    if not event.exe.path:
        return "poor"
    return "whole" if MINOR.issuperset(event.missing) else "completed"


def _unread(event: ProcessExecuted) -> tuple[str, ...]:
    """The facts that are missing, also those of which a process that is ending shows nothing and gives no error."""
    if not event.missing and event.execfn:
        return ()
    missing = dict.fromkeys(event.missing)
    if missing.pop("process", 0) is None:
        missing |= dict.fromkeys(("exe", "argv", "env", "cwd", "ids", "stdio", "stat"))
    if not event.argv and not event.execfn:  # a stack that was read names the program, also with no argument at all
        missing |= dict.fromkeys(("argv", "env"))
    if "exe" in missing and not event.stdio:
        missing["stdio"] = None
    return tuple(missing)


def _is_incomplete(event: ProcessExecuted) -> bool:
    return bool(event.missing) and not MINOR.issuperset(event.missing)


def _inherit(event: ProcessExecuted, before: ProcessExecuted) -> ProcessExecuted:
    keeps_ids = event.uid < 0 and bool(event.exe.path) and not event.exe.mode & _SET_ID
    has_stat = "stat" not in event.missing
    return msgspec.structs.replace(
        event,
        uid=before.uid if keeps_ids else event.uid,
        euid=before.euid if keeps_ids else event.euid,
        gid=before.gid if keeps_ids else event.gid,
        egid=before.egid if keeps_ids else event.egid,
        cwd=event.cwd or before.cwd,
        tty=event.tty if has_stat else before.tty,
        pgid=event.pgid if has_stat else before.pgid,
        sid=event.sid if has_stat else before.sid,
        mnt_ns=event.mnt_ns or before.mnt_ns,
    )
