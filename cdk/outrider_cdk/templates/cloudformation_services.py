"""What runs the definitions of a template: services, task sets, and rules and schedules that start tasks.

What they decide (the platform version, ECS Exec) is looked at here, and what they run that is of no definition in the
template is said, for it was not guarded.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final

from outrider_cdk.rewriting.casing import path_to_template, to_api
from outrider_cdk.rewriting.checks.elsewhere import check_service
from outrider_cdk.rewriting.problems import Path, Problem, warning
from outrider_cdk.templates.plan import Draft, below

RUNS: Final = ("AWS::ECS::Service", "AWS::ECS::TaskSet")
_STARTS: Final = {"EcsParameters": "TaskDefinitionArn", "EcsTaskParameters": "TaskDefinitionArn"}
"""Of rules, schedules and pipes: the object that says how a task is started, and its field with the definition."""
_TOLD_ONCE: Final = frozenset({"ecs-exec", "platform-version"})
"""Notes on what the service decides: where the template has the service, it is looked at instead."""

Found = list[tuple[Path, str, Mapping[str, Any]]]
"""Resources, each with its path and logical name."""


def judged_by_services(draft: Draft, found: Found) -> list[Problem]:
    """The draft's problems with what is to be said of the services, less the notes that these answer."""
    names = {target.name: target.outcome != "left out" for target in draft.targets}
    said: list[Problem] = []
    answered: set[str] = set()
    for path, fields, definition in _runners(found):
        which = _named(fields.get(definition), names)
        if definition in fields and not which and names:
            says = "This runs a definition that is not in this template; that was not guarded here."
            said.append(warning((*path, definition), "definition-elsewhere", says, "Guard it where it is made."))
        if which and not any(names[name] for name in which):
            continue
        if definition == "TaskDefinition":
            answered |= which
        problems = [replace(problem, path=path_to_template(problem.path)) for problem in check_service(to_api(fields))]
        said += below(path, problems)
    places = [target.path for target in draft.targets if target.name in answered]
    return [each for each in draft.problems if not _is_answered(each, places)] + said


def _runners(found: Found) -> Iterator[tuple[Path, Mapping[str, Any], str]]:
    """What runs a definition: its path, its fields, and the name of the field with the definition."""
    for path, _, resource in found:
        properties = resource.get("Properties")
        if resource.get("Type") in RUNS and isinstance(properties, dict):
            yield (*path, "Properties"), properties, "TaskDefinition"
        elif str(resource.get("Type")).startswith(("AWS::Events::", "AWS::Scheduler::", "AWS::Pipes::")):
            yield from _starts(properties, (*path, "Properties"))


def _starts(value: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any], str]]:
    """Every EcsParameters within; templates are at most as deep as `wrapping.DEPTH`."""
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _starts(entry, (*path, index))
    elif isinstance(value, dict):
        for key, entry in value.items():
            if key in _STARTS and isinstance(entry, dict):
                yield (*path, key), entry, _STARTS[key]
            else:
                yield from _starts(entry, (*path, key))


def _named(value: Any, names: Mapping[str, bool]) -> set[str]:
    """Which of the template's definitions a value may stand for; a loop's name has `${…}` in it, which is anything."""
    words = set(re.findall(r"[\w${}&:.]+", json.dumps(value, default=str)))
    words |= {part for word in words for part in re.findall(r"\w+", word)}
    globs = {name: re.sub(r"[$&]\{[^}]*\}", "*", name) for name in names}
    return {name for name, glob in globs.items() if any(word == name or fnmatchcase(word, glob) for word in words)}


def _is_answered(problem: Problem, places: list[Path]) -> bool:
    if problem.severity != "note" or problem.code not in _TOLD_ONCE:
        return False
    return any(problem.path[: len(place)] == place for place in places)
