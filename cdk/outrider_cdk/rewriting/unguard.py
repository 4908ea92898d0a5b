"""Taking the sidecar out again: what guarding changed is put back, and nothing else is touched."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.edits import Delete, Edit, Replace, apply, value_at
from outrider_cdk.rewriting.guard import Rewritten
from outrider_cdk.rewriting.ours import APPENDED, Before, Undo, find_sidecar, others_of, undo_of
from outrider_cdk.rewriting.problems import Path, Problem, error, warning
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text, containers_of
from outrider_cdk.rewriting.wrapping import locate


def unguard(definition: Any) -> Rewritten:
    """The definition as it was before `guard`; one that is not guarded comes back as it is.

    A container that looks like the sidecar, and has not its labels, is warned of.
    """
    located = locate(definition)
    if isinstance(located, Problem):
        return Rewritten(definition, problems=(located,))
    root, task = located
    found = find_sidecar(task)
    if found is None:
        return Rewritten(definition, problems=tuple(_unknown_sidecars(root, task)))
    try:
        undo = undo_of(found[1])
    except ValueError as error:
        path = (*root, "containerDefinitions", found[0], "dockerLabels")
        return Rewritten(definition, problems=(_unreadable(path, error),))
    edits = tuple(_edits(root, task, found[0], undo))
    bare = apply(definition, edits)
    left = tuple(_left_behind(root, value_at(bare, root), as_text(found[1].get("name")), undo.volume))
    return Rewritten(bare, edits, left)


def _edits(root: Path, task: Mapping[str, Any], place: int, undo: Undo) -> list[Edit]:
    """The surroundings first, the sidecar last: places of containers hold until then."""
    name = task["containerDefinitions"][place].get("name")
    edits: list[Edit] = []
    for index, container in others_of(task):
        before = undo.depends.get(str(container.get("name")))
        if before is not None:
            entries = as_list(container.get("dependsOn"))
            mine = [
                i for i, entry in enumerate(entries) if isinstance(entry, dict) and entry.get("containerName") == name
            ]
            at: Path = (*root, "containerDefinitions", index, "dependsOn")
            edits += _taken_out(at, mine, len(entries), () if before == APPENDED else before, before != APPENDED)
    volumes = as_list(task.get("volumes"))
    mine = [i for i, volume in enumerate(volumes) if isinstance(volume, dict) and volume.get("name") == undo.volume]
    edits += _taken_out(
        (*root, "volumes"), mine, len(volumes), undo.fields.get("volumes", ()), "volumes" in undo.fields
    )
    for key, ours in (("pidMode", "task"), ("executionRoleArn", undo.role)):
        # What somebody has changed since is theirs.
        if key in undo.fields and task.get(key) == ours:
            edits.append(_put_back((*root, key), undo.fields[key]))
    return [*edits, Delete((*root, "containerDefinitions", place))]


def _taken_out(at: Path, mine: list[int], length: int, before: Before, made: bool) -> list[Edit]:
    """Our element out of a list; the whole list, where it was made for that element and holds no other."""
    if not mine:
        return []
    if made and length == len(mine):
        return [_put_back(at, before)]
    return [Delete((*at, index)) for index in reversed(mine)]


def _put_back(at: Path, before: Before) -> Edit:
    return Replace(at, before[0]) if before else Delete(at)


def _left_behind(root: Path, bare: Mapping[str, Any], name: str, volume: str) -> Iterator[Problem]:
    """What somebody has added since that names the sidecar or its volume: ECS will not take it any more."""
    for index, container in containers_of(bare):
        for field, key, gone in (
            ("dependsOn", "containerName", name),
            ("volumesFrom", "sourceContainer", name),
            ("mountPoints", "sourceVolume", volume),
        ):
            for place, entry in enumerate(as_list(container.get(field))):
                if gone and as_object(entry).get(key) == gone:
                    says = f"This names {gone!r}, which is not there any more."
                    path: Path = (*root, "containerDefinitions", index, field, place)
                    yield warning(path, "left-behind", says, "Take it out by hand; it was not put in by the rewriter.")


def _unknown_sidecars(root: Path, task: Mapping[str, Any]) -> Iterator[Problem]:
    """Containers with the sidecar's settings and without its labels, made by hand or bereft of them."""
    for index, container in containers_of(task):
        names = [as_text(as_object(entry).get("name")) for entry in as_list(container.get("environment"))]
        if any(name in ("OUTRIDER_MODE", "OUTRIDER_COLLECTOR_URL") for name in names):
            says = "This looks like Outrider's sidecar, and has no label of the rewriter: it was left."
            remedy = "Take the container, its volume and pidMode out by hand."
            yield warning((*root, "containerDefinitions", index), "not-ours", says, remedy)


def _unreadable(path: Path, problem: ValueError) -> Problem:
    says = f"What was there before cannot be told: {problem}."
    remedy = "Take out the container, its volume and pidMode by hand, or go back to the revision before."
    return error(path, "undo-unreadable", says, remedy)
