"""Who did it, where the kernel does not tell: inferred from who was about, and labelled so.

inotify events carry no pid, and a socket may be closed before its holder is looked for. A process whose arguments
name the file or the host, and that lived then, is the likely one; the newest such wins. Without one nobody is named.

When a file was changed its ctime tells, which nobody can set: a process that ended before, or whose program was
started after, did not do it, however late the watch tells. Reading leaves no time, but is told of after it was done:
a program started since then did not do it.
"""

import posixpath
from collections.abc import Callable
from typing import Final

from outrider_sidecar.world.shells import SHELL_NAMES, base_name
from outrider_sidecar.world.tree import MAX_DEAD_IN_FULL, Process, ProcessTree
from outrider_wire.events import FileChanged, NameQueried, ProcessId

MAX_AGE_NS: Final = 2_000_000_000
"""A process that ended longer ago than this is not considered."""
MAX_CANDIDATES: Final = 64
CTIME_GRAIN_NS: Final = 20_000_000
"""A file's ctime may lie this far behind the clock: file systems take it from the last timer tick."""
_LEAVE_A_TIME: Final = ("created", "written", "attributes", "linked", "moved_in")
FRESH_NS: Final = 1_000_000_000


def infer_author(tree: ProcessTree, event: FileChanged) -> ProcessId | None:
    """The process that most likely made this change, or None."""
    ended = [p for p in tree.recent_dead(limit=MAX_CANDIDATES) if event.at_ns - p.exited_at_ns < MAX_AGE_NS]
    living = tree.living(event.mnt_ns)[:MAX_CANDIDATES]
    ours = [p for p in (*ended, *living) if p.mnt_ns == event.mnt_ns and p.executed_at_ns]
    candidates = [p for p in ours if _was_there(p, event)]
    named = [p for p in candidates if _names(p, event.file.path)]
    return max(named, key=lambda p: p.executed_at_ns).id if named else None


def infer_asker(
    tree: ProcessTree,
    event: NameQueried,
    may_ask: Callable[[Process], bool] = lambda _: True,
    *,
    by_name_alone: bool = False,
) -> ProcessId | None:
    """The process that most likely asked for a name, or None; of those that `may_ask` it, being in its network.

    One whose arguments hold the name; else the only program, shells aside, that began shortly before, but not where
    that says little (`by_name_alone`): where others than those of the tree may have asked.
    """
    ended = [p for p in tree.recent_dead(limit=MAX_DEAD_IN_FULL) if event.at_ns <= p.exited_at_ns and may_ask(p)]
    living = [p for p in tree.living() if p.started_at_ns <= event.at_ns and may_ask(p)]
    candidates = [p for p in (*ended[:MAX_CANDIDATES], *living[:MAX_CANDIDATES]) if p.executed_at_ns]
    named = [p for p in candidates if any(event.name in argument.lower() for argument in p.argv[1:])]
    if named:
        return max(named, key=lambda p: p.executed_at_ns).id
    if by_name_alone:
        return None
    fresh = [p for p in candidates if 0 <= event.at_ns - p.executed_at_ns < FRESH_NS]
    fresh = [p for p in fresh if base_name(p.exe.path) not in SHELL_NAMES]
    return fresh[0].id if len(fresh) == 1 else None


def _was_there(process: Process, event: FileChanged) -> bool:
    """Whether a process ran its program when the file was changed, as far as can be told when that was."""
    if event.change == "opened":
        return process.executed_at_ns <= event.at_ns
    if event.change not in _LEAVE_A_TIME or not event.file.ctime_ns:
        return True
    begun = process.executed_at_ns <= event.file.ctime_ns + CTIME_GRAIN_NS
    return begun and (process.alive or process.exited_at_ns + CTIME_GRAIN_NS >= event.file.ctime_ns)


def _names(process: Process, path: str) -> bool:
    name = posixpath.basename(path)
    for argument in process.argv[1:]:
        if name not in argument and posixpath.dirname(path) != posixpath.normpath(
            posixpath.join(process.cwd, argument)
        ):
            continue
        full = posixpath.normpath(posixpath.join(process.cwd, argument))
        if path in (full, posixpath.join(full, name)) or path in argument:
            return True
    return False
