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
_SET_ID: Final = 0o6000


class Opened(Struct, frozen=True, gc=False):
    """What one exec opened: the program, and the script whose interpreter it is."""

    exe: FileFacts
    script: FileFacts | None = None


class Match(Struct, frozen=True, gc=False):
    """What the files that a process opened say of an exec: what it opened, if that is certain, and whether what was
    read of the process may be believed."""

    opened: Opened | None = None
    is_believed: bool = True


def match_opened(files: Sequence[FileFacts], event: ProcessExecuted, *, later: int = 0, is_late: bool = True) -> Match:
    """Compare what was read of an exec, perhaps `is_late`, with what the process opened for it and since.

    The kernel opens the script if it is one, then the interpreter or program, then its dynamic linker. Fanotify tells
    of a file once for several openings that wait to be read, so of execs in quick succession (`later` wait behind this
    one) only the first program is certain, and only where a linker stands behind it.
    """
    end = next((place + 1 for place, file in enumerate(files) if is_linker(file.path)), len(files))
    programs = [file for file in files[:end] if not is_linker(file.path)]
    if event.exe.path:
        return _compare(files, programs, event, is_late=is_late)
    if len(programs) == 1 and (end > 1 or not later):
        return Match(Opened(programs[0]))
    if len(programs) == 2 and not later:
        return Match(Opened(programs[1], programs[0]))
    return Match(Opened(files[0]) if end == 1 and not later else None)


def is_one_start(files: Sequence[FileFacts]) -> bool:
    """Whether a process opened one program and at most its linker, so that it is of one exec whatever was before.

    What may not have been seen from its beginning looks otherwise: as a linker without the program that it is for, or
    as what two execs opened. A script's interpreter is left out too: what stands before it may be an earlier program.
    """
    return 1 <= len(files) <= 2 and [is_linker(file.path) for file in files] == [False, True][: len(files)]


def _compare(files: Sequence[FileFacts], programs: list[FileFacts], event: ProcessExecuted, *, is_late: bool) -> Match:
    if not programs or is_same(programs[0], event.exe):
        return Match()  # without any, it runs what lies where nobody watches
    is_script = len(programs) > 1 and event.script is not None and is_same(programs[0], event.script)
    if is_script and is_same(programs[1], event.exe):
        return Match()
    if is_late and any(is_same(file, event.exe) for file in files):
        certain = len(programs) == 1 and is_linker(files[1].path)
        return Match(Opened(programs[0]) if certain else None, is_believed=False)
    return Match()


def is_same(one: FileFacts, other: FileFacts) -> bool:
    """Whether two records are of one file."""
    return one.path == other.path or (one.dev, one.ino) == (other.dev, other.ino) != (0, 0)


def complete(event: ProcessExecuted, match: Match, before: ProcessExecuted | None) -> tuple[ProcessExecuted, Grade]:
    """The record of an exec as far as it is known; `before` is what the process ran before, or its parent."""
    if not match.is_believed:
        event = ProcessExecuted(event.at_ns, event.process, event.parent, missing=("process",), sensor=event.sensor)
    event = msgspec.structs.replace(event, missing=_unread(event))
    if not event.exe.path and match.opened is not None:
        opened, missing = match.opened, tuple(what for what in event.missing if what != "exe")
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
