"""A task definition in, a guarded task definition out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from outrider_cdk.rewriting.checks import check
from outrider_cdk.rewriting.edits import Append, Edit, Insert, Replace, apply
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import APPENDED, Before, Undo, find_sidecar, others_of, undo_of
from outrider_cdk.rewriting.problems import Path, Problem
from outrider_cdk.rewriting.sameness import says_the_same
from outrider_cdk.rewriting.shapes import as_list, as_text, is_absent
from outrider_cdk.rewriting.sidecar import sidecar
from outrider_cdk.rewriting.wrapping import locate


@dataclass(frozen=True)
class Rewritten:
    """What came out: the definition, the edits that make it of the one that was given, and what is to be said.

    With an error among the problems nothing was changed: `definition` is the object that was given.
    """

    definition: Any
    edits: tuple[Edit, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether something forbade it."""
        return any(problem.severity == "error" for problem in self.problems)


def guard(definition: Any, options: GuardOptions) -> Rewritten:
    """The definition with the sidecar in it, whatever JSON value it is; a guarded one is brought up to date.

    The argument is left as it is. A second run changes nothing; with other options it changes the sidecar, whose name
    and volume stay.
    """
    found = locate(definition)
    if isinstance(found, Problem):
        return Rewritten(definition, problems=(found,))
    root, task = found
    problems = tuple(_below(root, check(task, options)))
    if any(problem.severity == "error" for problem in problems):
        return Rewritten(definition, problems=problems)
    edits = tuple(_edits(root, task, options))
    return Rewritten(apply(definition, edits), edits, problems)


def _below(root: Path, problems: Iterable[Problem]) -> Iterable[Problem]:
    """The problems with paths from the document's root."""
    for problem in problems:
        yield replace(problem, path=root + problem.path)


def _edits(root: Path, task: Mapping[str, Any], options: GuardOptions) -> list[Edit]:
    """What is to be changed, the surroundings first."""
    found = find_sidecar(task)
    undo = Undo(volume=options.volume_name) if found is None else undo_of(found[1])
    name = (as_text(found[1].get("name")) if found else "") or options.container_name
    edits: list[Edit] = []
    if is_absent(task.get("pidMode")):
        undo = undo.with_field("pidMode", _set(edits, task, root, "pidMode", "task"))
    if options.execution_role_arn and is_absent(task.get("executionRoleArn")):
        before = _set(edits, task, root, "executionRoleArn", options.execution_role_arn)
        undo = replace(undo.with_field("executionRoleArn", before), role=options.execution_role_arn)
    if undo.volume not in [volume.get("name") for volume in as_list(task.get("volumes")) if isinstance(volume, dict)]:
        volume = {"name": undo.volume}
        if isinstance(task.get("volumes"), list):
            edits.append(Append((*root, "volumes"), volume))
        else:
            undo = undo.with_field("volumes", _set(edits, task, root, "volumes", [volume]))
    if options.depends_on:
        undo = _wait(edits, task, root, name, undo)
    _put_sidecar(edits, task, root, sidecar(task, options, name=name, undo=undo))
    return edits


def _put_sidecar(edits: list[Edit], task: Mapping[str, Any], root: Path, made: dict[str, Any]) -> None:
    """Behind the others, or in the place of the one that is there unless that says the same."""
    found = find_sidecar(task)
    if found is None:
        edits.append(Append((*root, "containerDefinitions"), made))
    elif not says_the_same(found[1], made):
        edits.append(Replace((*root, "containerDefinitions", found[0]), made))


def _wait(edits: list[Edit], task: Mapping[str, Any], root: Path, name: str, undo: Undo) -> Undo:
    """Let every other container start after the sidecar."""
    wanted = {"containerName": name, "condition": "START"}
    for index, container in others_of(task):
        known_as = container.get("name")
        present = container.get("dependsOn")
        waits_for = [entry.get("containerName") for entry in as_list(present) if isinstance(entry, dict)]
        if not isinstance(known_as, str) or name in waits_for:
            continue
        here: Path = (*root, "containerDefinitions", index)
        if isinstance(present, list):
            edits.append(Append((*here, "dependsOn"), wanted))
            undo = undo.with_depends(known_as, APPENDED)
        elif is_absent(present):
            undo = undo.with_depends(known_as, _set(edits, container, here, "dependsOn", [wanted]))
    return undo


def _set(edits: list[Edit], parent: Mapping[str, Any], at: Path, key: str, value: Any) -> Before:
    """Give a field a value, and say what it held before."""
    if key in parent:
        edits.append(Replace((*at, key), value))
        return (parent[key],)
    edits.append(Insert((*at, key), value))
    return ()
