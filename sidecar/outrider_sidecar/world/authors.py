"""Who changed a file, where the kernel does not tell: inferred from who was about, and labelled so.

inotify events carry no pid. A process whose arguments name the file, that lived when it changed and is in the same
container, is the likely author; the newest such wins. Without one nobody is named.
"""

import posixpath
from typing import Final

from outrider_sidecar.world.tree import Process, ProcessTree
from outrider_wire.events import FileChanged, ProcessId

MAX_AGE_NS: Final = 2_000_000_000
"""A process that ended longer ago than this is not considered."""
MAX_CANDIDATES: Final = 64


def infer_author(tree: ProcessTree, event: FileChanged) -> ProcessId | None:
    """The process that most likely made this change, or None."""
    ended = [p for p in tree.recent_dead(limit=MAX_CANDIDATES) if event.at_ns - p.exited_at_ns < MAX_AGE_NS]
    living = tree.living(event.mnt_ns)[:MAX_CANDIDATES]
    candidates = [p for p in (*ended, *living) if p.mnt_ns == event.mnt_ns and p.executed_at_ns]
    named = [p for p in candidates if _names(p, event.file.path)]
    return max(named, key=lambda p: p.executed_at_ns).id if named else None


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
