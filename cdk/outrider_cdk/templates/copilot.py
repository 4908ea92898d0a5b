"""AWS Copilot manifests: the sidecar comes in by `taskdef_overrides`.

Copilot's own `sidecars` know no PID mode, capability or restart policy; overrides may put anything into the definition
that Copilot makes (its documentation, "Task Definition Overrides"), `[-]` at the end of a list. What Copilot will make
is made up here as far as the manifest tells, so that the same checks look at it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outrider_cdk.rewriting import Append, Delete, Edit, GuardOptions, Insert, Path, Problem, Replace, guard
from outrider_cdk.rewriting.casing import to_api, to_template
from outrider_cdk.rewriting.ours import UNDO_LABEL, VERSION_LABEL, read_undo
from outrider_cdk.rewriting.problems import error, note, warning
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text
from outrider_cdk.templates.plan import Draft, Json, Plan, Target, Wish

FIELD: Final = "taskdef_overrides"
SERVICES: Final = ("Load Balanced Web Service", "Backend Service", "Worker Service", "Scheduled Job")
OTHERS: Final = ("Request-Driven Web Service", "Static Site", "Environment", "Pipeline")
_CONTAINER: Final = "ContainerDefinitions[-]"
_VOLUME: Final = "Volumes[-]"
_PID_MODE: Final = "PidMode"
_MADE: Final = "overrides"
"""The key of the label's record that says whether the list of overrides was made for the sidecar."""
_LOG: Final = {
    "logDriver": "awslogs",
    "options": {
        "awslogs-group": {"Ref": "LogGroup"},
        "awslogs-region": {"Ref": "AWS::Region"},
        "awslogs-stream-prefix": "copilot",
    },
}
"""Copilot's own log group, by its name in the template that Copilot makes."""
_NOT_OURS: Final = frozenset({"platform-version", "ec2-daemon"})


def is_manifest(document: Mapping[str, Any]) -> bool:
    """Whether it names a type that only Copilot knows."""
    return document.get("type") in (*SERVICES, *OTHERS)


def plan_manifest(manifest: Mapping[str, Any], wish: Wish) -> Plan:
    """The overrides for the workload, and for each environment that has overrides of its own."""
    draft = Draft("Copilot manifest")
    name = as_text(manifest.get("name")) or "workload"
    if manifest.get("type") in OTHERS:
        says = f"A {manifest['type']} of Copilot runs no task of ECS."
        problem = error(("type",), "not-ecs", says, "Give the manifest of a service or a job.")
        draft.settle((), name, wish, (), (problem,))
        return draft.finished()
    if why := wish.why_not(name):
        draft.targets.append(Target((), name, "left out", why))
        return draft.finished()
    for place in _places(manifest, name):
        edits: list[Edit] = []
        if place.name in wish.leave_out:
            draft.targets.append(Target(place.path, place.name, "left out", wish.why_not(place.name)))
            continue
        if place.overrides is not None and not isinstance(place.overrides, list):
            says = "This is no list of overrides."
            problems = [error(place.path, "wrong-type", says, "Write a list of path and value.")]
        elif wish.options is None:
            edits, problems = _taken_out(place)
        else:
            edits, problems = _put_in(manifest, place, wish.options)
        draft.settle(place.path, place.name, wish, edits, problems)
    if wish.options is not None:
        draft.problems += _of_environments(manifest, wish.options, draft.problems)
    return draft.finished()


def _of_environments(manifest: Mapping[str, Any], options: GuardOptions, said: list[Problem]) -> list[Problem]:
    """What is wrong in an environment alone, which may override every field of the workload."""
    known = {(problem.code, problem.says) for problem in said}
    found: list[Problem] = []
    for key, changes in as_object(manifest.get("environments")).items():
        merged = _merged({**manifest, "environments": None}, as_object(changes))
        problems = guard(_made_up(merged, as_list(merged.get(FIELD))), options).problems
        found += [
            replace(problem, path=("environments", key))
            for problem in problems
            if problem.severity != "note" and problem.code not in _NOT_OURS
            if (problem.code, problem.says) not in known
        ]
    return found


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """The manifest as it is in an environment: objects field by field, everything else whole."""
    made = dict(base)
    for key, value in changes.items():
        old = made.get(key)
        made[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return made


@dataclass(frozen=True)
class _Place:
    """One list of overrides: the workload's, or an environment's, which takes its place there.

    `overrides` is whatever stands there, None for nothing; `present` is whether its key does.
    """

    path: Path
    name: str
    overrides: Any
    present: bool

    @property
    def entries(self) -> list[Any]:
        return as_list(self.overrides)


def _places(manifest: Mapping[str, Any], name: str) -> list[_Place]:
    found = [_Place((FIELD,), name, manifest.get(FIELD), FIELD in manifest)]
    for key, value in as_object(manifest.get("environments")).items():
        if FIELD in as_object(value):
            found.append(_Place(("environments", key, FIELD), f"{name} in {key}", value[FIELD], True))
    return found


def _put_in(manifest: Mapping[str, Any], place: _Place, options: GuardOptions) -> tuple[list[Edit], list[Problem]]:
    rewritten = guard(_made_up(manifest, place.entries), options)
    problems = [_placed(problem, place.path) for problem in rewritten.problems if problem.code not in _NOT_OURS]
    if options.depends_on:
        says = "The order of containers is Copilot's to decide; depends_on cannot be had in a manifest."
        problems.append(error(place.path, "depends-on", says, "Leave depends_on out."))
    if rewritten.refused or options.depends_on:
        return [], problems
    says = "Copilot calls taskdef_overrides deprecated; it takes them all the same."
    problems.append(note(place.path, "copilot-overrides", says, "Look at the outcome with `copilot svc package`."))
    if options.token_secret or options.secrets:
        says = "The execution role that Copilot makes reads only secrets that have Copilot's tags."
        remedy = "Tag them with copilot-application and copilot-environment."
        problems.append(warning(place.path, "copilot-secrets", says, remedy))
    added: list[Json] = []
    edits: list[Edit] = []
    found = _ours(place.entries)
    for edit in rewritten.edits:
        if isinstance(edit, Insert | Replace) and edit.path == ("pidMode",):
            added.append({"path": _PID_MODE, "value": edit.value})
        elif isinstance(edit, Insert | Append | Replace) and edit.path == ("volumes",):
            volume = edit.value[0] if isinstance(edit.value, list) else edit.value
            added.append({"path": _VOLUME, "value": to_template(volume)})
        elif isinstance(edit, Append):
            how = "list" if isinstance(place.overrides, list) else "null" if place.present else "none"
            added.append({"path": _CONTAINER, "value": _remembering(to_template(edit.value), how)})
        elif isinstance(edit, Replace) and found is not None:
            made = _remembering(to_template(edit.value), _how(found[1]))
            edits += [] if made == found[1] else [Replace((*place.path, found[0], "value"), made)]
    if not added:
        return edits, problems
    if isinstance(place.overrides, list):
        return [*edits, *(Append(place.path, entry) for entry in added)], problems
    return [*edits, Replace(place.path, added) if place.present else Insert(place.path, added)], problems


def _taken_out(place: _Place) -> tuple[list[Edit], list[Problem]]:
    found = _ours(place.entries)
    if found is None:
        return [], []
    try:
        undo = read_undo(as_object(found[1].get("DockerLabels")).get(UNDO_LABEL))
        how = _how(found[1])
    except ValueError as problem:
        says = f"What was there before cannot be told: {problem}."
        remedy = "Take the overrides of PidMode, the volume and the container out by hand."
        return [], [error((*place.path, found[0]), "undo-unreadable", says, remedy)]
    mine = [found[0]]
    for index, entry in enumerate(place.entries):
        path, value = as_object(entry).get("path"), as_object(entry).get("value")
        if (path == _PID_MODE and value == "task" and "pidMode" in undo.fields) or (
            path == _VOLUME and as_object(value).get("Name") == undo.volume
        ):
            mine.append(index)
    if len(mine) == len(place.entries) and how == "none":
        return [Delete(place.path)], []
    if len(mine) == len(place.entries) and how == "null":
        return [Replace(place.path, None)], []
    return [Delete((*place.path, index)) for index in sorted(mine, reverse=True)], []


def _made_up(manifest: Mapping[str, Any], overrides: list[Any]) -> Json:
    """The definition that Copilot will make, as far as the manifest tells, with what was overridden already."""
    image = as_object(manifest.get("image"))
    platform = _platform(manifest)
    main = {"name": manifest.get("name", "main"), "image": image.get("location") or "built-by-copilot"}
    containers: list[Json] = [{**main, **_words(manifest), "logConfiguration": _LOG}]
    for name, sidecar in as_object(manifest.get("sidecars")).items():
        fields = as_object(sidecar)
        containers.append({"name": name, "image": as_text(fields.get("image")) or "sidecar", **_words(fields)})
    made: Json = {
        "family": as_text(manifest.get("name")) or "copilot",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "executionRoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
        "taskRoleArn": {"Fn::GetAtt": ["TaskRole", "Arn"]},
        "containerDefinitions": containers,
    }
    made |= {key: str(manifest[key]) for key in ("cpu", "memory") if isinstance(manifest.get(key), int | str)}
    if "windows" in platform or "arm" in platform:
        system = "WINDOWS_SERVER_2019_CORE" if "windows" in platform else "LINUX"
        made["runtimePlatform"] = {
            "operatingSystemFamily": system,
            "cpuArchitecture": "ARM64" if "arm" in platform else "X86_64",
        }
    volumes = [{"name": name} for name in as_object(as_object(manifest.get("storage")).get("volumes"))]
    for entry in overrides:
        path, value = as_object(entry).get("path"), as_object(entry).get("value")
        if path == _PID_MODE:
            made["pidMode"] = value
        elif path == _VOLUME:
            volumes.append(to_api(value))
        elif path == _CONTAINER:
            containers.append(to_api(value))
    return {**made, "volumes": volumes}


def _platform(manifest: Mapping[str, Any]) -> str:
    """System and processor, which a manifest has as one text or as two."""
    given = manifest.get("platform")
    parts = [given, *(as_object(given).get(name) for name in ("osfamily", "architecture"))]
    return " ".join(as_text(part) for part in parts).lower()


def _words(fields: Mapping[str, Any]) -> Json:
    """Entry point and command, which may be one text in a manifest."""
    names = {"entrypoint": "entryPoint", "command": "command"}
    words = {api: fields.get(name) for name, api in names.items() if name in fields}
    return {api: value.split() if isinstance(value, str) else value for api, value in words.items()}


def _ours(overrides: list[Any]) -> tuple[int, Json] | None:
    """The override that is the sidecar, and its value."""
    for index, entry in enumerate(overrides):
        value = as_object(entry).get("value")
        if isinstance(value, dict) and as_object(value.get("DockerLabels")).get(VERSION_LABEL):
            return index, value
    return None


def _remembering(container: Json, how: str) -> Json:
    """The container with one thing more in its label: whether the list of overrides was there before."""
    labels = container["DockerLabels"]
    record = {**json.loads(labels[UNDO_LABEL]), _MADE: how}
    return {**container, "DockerLabels": {**labels, UNDO_LABEL: json.dumps(record, separators=(",", ":"))}}


def _how(container: Mapping[str, Any]) -> str:
    try:
        record = json.loads(as_text(as_object(container.get("DockerLabels")).get(UNDO_LABEL)))
    except (ValueError, RecursionError):
        return "list"
    return str(record.get(_MADE, "list")) if isinstance(record, dict) else "list"


_PLACES: Final = {"cpu": "cpu", "memory": "memory", "runtimePlatform": "platform", "volumes": "storage"}


def _placed(problem: Problem, place: Path) -> Problem:
    """The problem at the place of the manifest that it comes from, or else at the overrides."""
    first = problem.path[:1]
    if first and first[0] in _PLACES:
        return replace(problem, path=(_PLACES[str(first[0])],))
    if problem.path[:2] == ("containerDefinitions", 0):
        return replace(problem, path=("image",) if problem.path[2:] == ("image",) else problem.path[2:3])
    return replace(problem, path=place)
