"""Drift that the operator expects: silenced by container, directory and an ancestor of the image; shown by doctor."""

import posixpath
from collections.abc import Sequence

from outrider_sidecar.fields.context import Context
from outrider_sidecar.fields.drift import new_file
from outrider_sidecar.settings import ExpectedDrift
from outrider_wire.events import LibraryLoaded


def is_expected(expected: Sequence[ExpectedDrift], context: Context) -> bool:
    """Whether some entry covers this drift wholly. An entry without any part covers nothing."""
    return any(_covers(entry, context) for entry in expected)


def _covers(entry: ExpectedDrift, context: Context) -> bool:
    if not (entry.container or entry.directory or entry.ancestor):
        return False
    if entry.container and (context.container is None or context.container.name != entry.container):
        return False
    if entry.directory and not _is_below(_drifted_path(context), entry.directory):
        return False
    return not entry.ancestor or any(
        ancestor.exe.path == entry.ancestor and (drift := context.world.judge_exe(ancestor)) and drift.verdict == "old"
        for ancestor in context.ancestors
    )


def _drifted_path(context: Context) -> str:
    if isinstance(context.event, LibraryLoaded):
        return context.event.library.path
    return new_file(context) or ""


def _is_below(path: str, directory: str) -> bool:
    return posixpath.normpath(path).startswith(posixpath.normpath(directory) + "/")
