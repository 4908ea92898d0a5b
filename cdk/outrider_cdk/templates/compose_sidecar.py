"""The sidecar's service in a Compose file, and the volume of its journal."""

import json
from collections.abc import Mapping
from typing import Any

from outrider_cdk.rewriting import Edit, GuardOptions, Insert, Replace
from outrider_cdk.rewriting.ours import UNDO_LABEL, VERSION_LABEL
from outrider_cdk.rewriting.shapes import as_object, as_text
from outrider_cdk.rewriting.sidecar import HEALTH_CHECK, JOURNAL_DIR, environment
from outrider_cdk.templates.plan import Json


def sidecar_service(name: str, service: Mapping[str, Any], options: GuardOptions, how: str) -> Json:
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


def volume_edits(document: Mapping[str, Any], names: list[str]) -> list[Edit]:
    """The journals' volumes, where they are not there yet."""
    present = document.get("volumes")
    wanted = [name for name in names if name not in as_object(present)]
    if not wanted:
        return []
    if isinstance(present, dict):
        return [Insert(("volumes", name), {}) for name in wanted]
    made: Json = {name: {} for name in wanted}
    return [Replace(("volumes",), made) if "volumes" in document else Insert(("volumes",), made)]


def volumes_are(document: Mapping[str, Any]) -> str:
    """Whether the document has an object of volumes (`list`), a key without any (`null`), or neither (`none`)."""
    if "volumes" not in document:
        return "none"
    return "list" if isinstance(document["volumes"], dict) else "null"


def volumes_of(service: Any) -> list[str]:
    """The volume that a sidecar of ours remembers. Any: a service may be anything."""
    name = _record(service).get("volume")
    return [name] if isinstance(name, str) else []


def how_volumes_were(service: Any) -> str:
    """The same of the time before a sidecar was put in, as it remembers."""
    return str(_record(service).get("volumes", "list"))


def _record(service: Any) -> Mapping[str, Any]:
    try:
        record = json.loads(as_text(as_object(as_object(service).get("labels")).get(UNDO_LABEL)))
    except (ValueError, RecursionError):
        return {}
    return as_object(record)


def version_of_service(service: Any) -> str:
    """The version of the rewriter that made a service; empty where it is not ours."""
    return as_text(as_object(as_object(service).get("labels")).get(VERSION_LABEL))
