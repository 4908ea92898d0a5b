"""Definitions that are guarded already: by an older version, by a newer one, or by one whose labels were edited."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import UNDO_LABEL, VERSION_LABEL, find_sidecar, undo_of, version_of
from outrider_cdk.rewriting.problems import Problem, error, note, warning


def check_earlier(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Say what is found, and refuse what could not be undone."""
    found = find_sidecar(task)
    if found is None:
        return
    path = (FIELD, found[0], "dockerLabels")
    try:
        undo_of(found[1])
    except ValueError as problem:
        says = f"The sidecar is of this rewriter's making, and its label {UNDO_LABEL} is not: {problem}."
        yield error((*path, UNDO_LABEL), "undo-unreadable", says, "Take the sidecar out by hand, and guard again.")
    before, now = version_of(found[1]), options.version
    if _ordered(before) < _ordered(now):
        says = f"It is guarded already, by version {before}; the sidecar is brought to {now}, and nothing else changed."
        yield note((*path, VERSION_LABEL), "guarded-by-older", says, "Nothing is to be done.")
    elif _ordered(before) > _ordered(now):
        says = f"It was guarded by version {before}, which is newer than this one ({now})."
        yield warning((*path, VERSION_LABEL), "guarded-by-newer", says, "Update outrider where you run this.")


def _ordered(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d{1,6}", version)[:4]]
