"""Compose files: one sidecar for each guarded service, in its PID and network namespaces.

Compose has no PID namespace for several services, so that each service has a sidecar of its own, called
`outrider-SERVICE`. The guarded service stays as it is: its program is still PID 1.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from outrider_cdk.rewriting import Delete, Edit, GuardOptions, Insert, Problem, Replace
from outrider_cdk.rewriting.checks import check
from outrider_cdk.rewriting.ours import UNDO_LABEL, VERSION_LABEL
from outrider_cdk.rewriting.problems import Path, error, warning
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text
from outrider_cdk.rewriting.sidecar import HEALTH_CHECK, JOURNAL_DIR, environment
from outrider_cdk.templates.plan import MANAGED_TAG, Draft, Json, Plan, Target, Wish

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
    ours = {name for name, service in services.items() if _version(service)}
    if wish.options is None:
        _take_out(draft, document, ours, wish)
        return draft.finished()
    for name, service in services.items():
        if name not in ours:
            _guard(draft, document, str(name), service, wish, wish.options)
    volumes = [volume for edit in draft.edits if isinstance(edit, Insert) for volume in _volumes_of(edit.value)]
    draft.edits += _volume_edits(document, volumes)
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
    joined = as_text(service.get("pid"))
    if joined.startswith("service:"):
        draft.targets.append(Target(path, name, "left out", f"seen by the sidecar of {joined.partition(':')[2]}"))
        return
    called = f"{options.container_name}-{name}"
    problems = [*_checked(path, service, options), *_of_compose(path, service, options)]
    present = document["services"].get(called)
    if present is not None and not _version(present):
        says = f"A service {called!r} is there, and is not of this rewriter's making."
        problems.append(error(("services", called), "name-taken", says, "Choose another name (container_name)."))
    how = _how(present) if _version(present) else _volumes_are(document)
    made = _sidecar(name, service, options, how)
    edits: list[Edit] = [] if present == made else [Insert(("services", called), made)]
    if present is not None and edits:
        edits = [Replace(("services", called), made)]
    draft.settle(path, name, wish, edits, problems)


def _sidecar(name: str, service: Mapping[str, Any], options: GuardOptions, how: str) -> Json:
    """The sidecar's service; `$` is Compose's own sign and is doubled."""
    image = options.image_arm64 if "arm" in as_text(service.get("platform")) else options.image
    variables = {key: str(value).replace("$", "$$") for key, value in environment({}, options).items()}
    variables.setdefault("OUTRIDER_TOKEN", "${OUTRIDER_TOKEN:-}")
    volume = f"{options.volume_name}-{name}"
    seconds = f"{options.stop_timeout_s}s"
    made: Json = {
        "image": image,
        "pid": f"service:{name}",
        "network_mode": f"service:{name}",
        "user": "0",
        "cap_add": ["SYS_PTRACE"],
        "read_only": True,
        "environment": variables,
        "volumes": [f"{volume}:{JOURNAL_DIR}"],
        "mem_limit": f"{options.memory_mib}m",
        "mem_reservation": f"{options.memory_reservation_mib}m",
        "restart": "unless-stopped",
        "stop_grace_period": seconds,
        "healthcheck": {
            "test": HEALTH_CHECK["command"],
            "interval": f"{HEALTH_CHECK['interval']}s",
            "timeout": f"{HEALTH_CHECK['timeout']}s",
            "retries": HEALTH_CHECK["retries"],
            "start_period": f"{HEALTH_CHECK['startPeriod']}s",
        },
        "labels": {
            VERSION_LABEL: options.version,
            UNDO_LABEL: json.dumps({"volume": volume, "volumes": how}, separators=(",", ":")),
        },
    }
    return {**made, "profiles": service["profiles"]} if isinstance(service.get("profiles"), list) else made


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
                "privileged": service.get("privileged") is True,
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
    copies = as_object(service.get("deploy")).get("replicas", service.get("scale", 1))
    if isinstance(copies, int) and copies > 1:
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
    mine = [volume for called in gone for volume in _volumes_of(services[called]) if volume in volumes]
    hows = {_how(services[called]) for called in gone}
    if mine and len(mine) == len(volumes) and "none" in hows:
        draft.edits.append(Delete(("volumes",)))
    elif mine and len(mine) == len(volumes) and "null" in hows:
        draft.edits.append(Replace(("volumes",), None))
    else:
        draft.edits += [Delete(("volumes", volume)) for volume in mine]


def _volume_edits(document: Mapping[str, Any], names: list[str]) -> list[Edit]:
    present = document.get("volumes")
    wanted = [name for name in names if name not in as_object(present)]
    if not wanted:
        return []
    if isinstance(present, dict):
        return [Insert(("volumes", name), {}) for name in wanted]
    made: Json = {name: {} for name in wanted}
    return [Replace(("volumes",), made) if "volumes" in document else Insert(("volumes",), made)]


def _volumes_are(document: Mapping[str, Any]) -> str:
    if "volumes" not in document:
        return "none"
    return "list" if isinstance(document["volumes"], dict) else "null"


def _volumes_of(service: Any) -> list[str]:
    """The volume that a sidecar of ours remembers. Any: a service may be anything."""
    name = _record(service).get("volume")
    return [name] if isinstance(name, str) else []


def _how(service: Any) -> str:
    return str(_record(service).get("volumes", "list"))


def _record(service: Any) -> Mapping[str, Any]:
    try:
        record = json.loads(as_text(as_object(as_object(service).get("labels")).get(UNDO_LABEL)))
    except ValueError:
        return {}
    return as_object(record)


def _version(service: Any) -> str:
    return as_text(as_object(as_object(service).get("labels")).get(VERSION_LABEL))


def _why_labelled(service: Any) -> str:
    """Why a service's own labels leave it out."""
    labels = as_object(service).get("labels")
    value = labels.get(MANAGED_TAG) if isinstance(labels, dict) else None
    listed = [label for label in as_list(labels) if str(label).lower() == f"{MANAGED_TAG}=false".lower()]
    return f"labelled {MANAGED_TAG}=false" if listed or str(value).lower() == "false" else ""


def _words(value: Any) -> list[Any]:
    return value.split() if isinstance(value, str) else as_list(value)
