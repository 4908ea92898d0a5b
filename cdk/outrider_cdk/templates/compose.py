"""Compose files: one sidecar for each guarded service, in its PID and network namespaces.

Compose has no PID namespace for several services, so that each service has a sidecar of its own, called
`outrider-SERVICE`. The guarded service stays as it is: its program is still PID 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outrider_cdk.managed import MANAGED_TAG
from outrider_cdk.rewriting import Delete, Edit, GuardOptions, Insert, Problem, Replace
from outrider_cdk.rewriting.checks import check
from outrider_cdk.rewriting.problems import Path, error, warning
from outrider_cdk.rewriting.shapes import as_list, as_number, as_object, as_text
from outrider_cdk.templates.compose_sidecar import (
    how_volumes_were,
    sidecar_service,
    version_of_service,
    volume_edits,
    volumes_are,
    volumes_of,
)
from outrider_cdk.templates.plan import Draft, Plan, Target, Wish

_MATTERS: Final = frozenset(
    (
        *("unknown-setting", "setting-twice", "no-image", "bad-option", "windows", "arm-image", "essential"),
        *("second-tracer", "reads-key", "signals-everybody", "wrong-type"),
    )
)
"""What the rewriter's checks say of a task that holds for a service of Compose too."""


def is_compose(document: Mapping[str, Any]) -> bool:
    """Whether it has services that are containers."""
    services = document.get("services")
    return isinstance(services, dict) and any(
        isinstance(service, dict) and {"image", "build", "extends"} & service.keys() for service in services.values()
    )


def plan_compose(document: Mapping[str, Any], wish: Wish) -> Plan:
    """A sidecar for each service that is not left out, or none any more."""
    draft = Draft("Compose file")
    services = document["services"]
    ours = {name for name, service in services.items() if version_of_service(service)}
    if wish.options is None:
        _take_out(draft, document, ours, wish)
        return draft.finished()
    if not isinstance(document.get("volumes"), dict | None):
        says = "This is no object of volumes, and the journal's is to be added to it."
        draft.problems.append(error(("volumes",), "wrong-type", says, "Write an object, or leave volumes out."))
    if "include" in document:
        says = "This brings in services of other files, which are not guarded here."
        draft.problems.append(warning(("include",), "not-looked-at", says, "Give these files as well."))
    for name, service in services.items():
        if name not in ours:
            _guard(draft, document, str(name), service, wish, wish.options)
    volumes = [volume for edit in draft.edits if isinstance(edit, Insert) for volume in volumes_of(edit.value)]
    draft.edits += volume_edits(document, volumes)
    return draft.finished()


def _guard(
    draft: Draft, document: Mapping[str, Any], name: str, service: Any, wish: Wish, options: GuardOptions
) -> None:
    """Any: a service may be anything."""
    path: Path = ("services", name)
    if why := wish.why_not(name) or _why_labelled(service):
        draft.targets.append(Target(path, name, "left out", why))
        return
    if not isinstance(service, dict):
        problem = error(path, "not-a-service", "This is no service.", "Write an object with image or build.")
        draft.settle(path, name, wish, (), (problem,))
        return
    if "provider" in service:
        draft.targets.append(Target(path, name, "left out", "it runs no container"))
        return
    joined = as_text(service.get("pid"))
    if joined.startswith("service:"):
        other = joined.partition(":")[2]
        alone = other not in document["services"] or wish.why_not(other) or _why_labelled(document["services"][other])
        if alone:
            says = f"It joins the PID namespace of {other!r}, which has no sidecar: nobody guards it."
            draft.problems.append(warning((*path, "pid"), "not-guarded", says, f"Guard {other} as well."))
        why = f"seen by {'no sidecar: it joins' if alone else 'the sidecar of'} {other}"
        draft.targets.append(Target(path, name, "left out", why))
        return
    called = f"{options.container_name}-{name}"
    problems = [*_checked(path, service, options), *_of_compose(path, service, options)]
    present = document["services"].get(called)
    if present is not None and not version_of_service(present):
        says = f"A service {called!r} is there, and is not of this rewriter's making."
        problems.append(error(("services", called), "name-taken", says, "Choose another name (container_name)."))
    problems += _other_tracers(path, name, document["services"])
    how = how_volumes_were(present) if version_of_service(present) else volumes_are(document)
    made = sidecar_service(name, service, options, how)
    edits: list[Edit] = [] if present == made else [Insert(("services", called), made)]
    if present is not None and edits:
        edits = [Replace(("services", called), made)]
    draft.settle(path, name, wish, edits, problems)


def _checked(path: Path, service: Mapping[str, Any], options: GuardOptions) -> list[Problem]:
    """What the rewriter's checks say of the service as a container of a task."""
    platform = as_text(service.get("platform"))
    task = {
        "requiresCompatibilities": ["EC2"],
        "pidMode": "task",
        "containerDefinitions": [
            {
                "name": "service",
                "image": as_text(service.get("image")) or "built",
                "entryPoint": _words(service.get("entrypoint")),
                "command": _words(service.get("command")),
                "privileged": service.get("privileged") is True or as_text(service.get("privileged")).lower() == "true",
                "linuxParameters": {"capabilities": {"add": as_list(service.get("cap_add"))}},
            }
        ],
        "runtimePlatform": {
            "operatingSystemFamily": "WINDOWS" if platform.startswith("windows") else "LINUX",
            "cpuArchitecture": "ARM64" if "arm" in platform else "X86_64",
        },
    }
    fields = {"image": "image", "entryPoint": "entrypoint", "command": "command", "privileged": "privileged"}
    found = [problem for problem in check(task, options) if problem.code in _MATTERS]
    ends = [fields.get(str(part), "cap_add") for problem in found for part in problem.path[2:3] or ("",)]
    return [
        replace(problem, path=(*path, end) if problem.path[2:] else path)
        for problem, end in zip(found, ends, strict=True)
    ]


def _of_compose(path: Path, service: Mapping[str, Any], options: GuardOptions) -> list[Problem]:
    """What only Compose can get wrong."""
    found: list[Problem] = []
    if service.get("pid") == "host":
        says = "The service shares the machine's PID namespace, and so would its sidecar."
        found.append(error((*path, "pid"), "pid-mode", says, "Leave pid out, or leave this service out."))
    if as_text(service.get("pid")).startswith("container:"):
        says = "The service is in the PID namespace of a container that is not of this file, and so is its sidecar."
        found.append(warning((*path, "pid"), "pid-mode", says, "Look whether that container may be traced, too."))
    if service.get("network_mode") == "host":
        says = "In network mode host the sidecar sees the packets of the whole machine."
        found.append(warning((*path, "network_mode"), "network-host", says, "Give the service a network of its own."))
    for field in ("privileged", "cap_add", "pid", "platform"):
        if any("$" in as_text(value) for value in (service.get(field), *as_list(service.get(field)))):
            says = "This is known when Compose runs only; it was not looked at."
            found.append(warning((*path, field), "not-looked-at", says, "Write it out, to have it looked at."))
    if "extends" in service:
        says = "What this service takes over from another was not looked at."
        found.append(warning((*path, "extends"), "not-looked-at", says, "See that it is no more privileged there."))
    copies = as_object(service.get("deploy")).get("replicas", service.get("scale", 1))
    if (as_number(copies) or 0) > 1 or "$" in as_text(copies):
        says = f"The sidecar joins one of the {copies} copies of the service; the others are not guarded."
        found.append(warning(path, "copies", says, "Run one copy here."))
    if service.get("network_mode") == "none" and options.collector_url:
        says = "The service has no network, and the sidecar shares it: nothing reaches the collector."
        found.append(warning((*path, "network_mode"), "no-network", says, "Read the journal, or give it a network."))
    if options.depends_on:
        says = "A sidecar of Compose starts after the service whose namespaces it joins."
        found.append(error(path, "depends-on", says, "Leave depends_on out."))
    if options.secrets or options.log != "same":
        says = "Secrets by ARN and the sidecar's log are not put into Compose files."
        found.append(warning(path, "not-in-compose", says, "Add them to the sidecar's service by hand."))
    if options.token_secret:
        says = "Compose reads no secrets of AWS."
        found.append(warning(path, "no-secrets", says, "Put the token into the variable OUTRIDER_TOKEN."))
    return found


def _other_tracers(path: Path, name: str, services: Mapping[str, Any]) -> list[Problem]:
    """Services that trace this one already, a sidecar made by hand among them."""
    found: list[Problem] = []
    for other, service in services.items():
        fields = as_object(service)
        joins = fields.get("pid") == f"service:{name}" and not version_of_service(service)
        if joins and "SYS_PTRACE" in as_list(fields.get("cap_add")):
            says = f"The service {other!r} may trace this one already, and a process has one tracer."
            found.append(error(path, "second-tracer", says, f"Take {other} out, or leave {name} out."))
    return found


def _take_out(draft: Draft, document: Mapping[str, Any], ours: set[str], wish: Wish) -> None:
    """Every sidecar that was put in, and the volumes with them."""
    services = document["services"]
    gone: list[str] = []
    for called in services:
        guards = as_text(as_object(services[called]).get("pid")).removeprefix("service:")
        if called in ours and not wish.why_not(guards):
            draft.settle(("services", guards), guards, wish, [Delete(("services", called))], ())
            gone.append(called)
    volumes = as_object(document.get("volumes"))
    mine = [volume for called in gone for volume in volumes_of(services[called]) if volume in volumes]
    hows = {how_volumes_were(services[called]) for called in gone}
    if mine and len(mine) == len(volumes) and "none" in hows:
        draft.edits.append(Delete(("volumes",)))
    elif mine and len(mine) == len(volumes) and "null" in hows:
        draft.edits.append(Replace(("volumes",), None))
    else:
        draft.edits += [Delete(("volumes", volume)) for volume in mine]


def _why_labelled(service: Any) -> str:
    """Why a service's own labels leave it out."""
    labels = as_object(service).get("labels")
    value = labels.get(MANAGED_TAG) if isinstance(labels, dict) else None
    listed = [label for label in as_list(labels) if str(label).lower() == f"{MANAGED_TAG}=false".lower()]
    return f"labelled {MANAGED_TAG}=false" if listed or str(value).lower() == "false" else ""


def _words(value: Any) -> list[Any]:
    return value.split() if isinstance(value, str) else as_list(value)
