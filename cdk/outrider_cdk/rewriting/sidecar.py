"""The sidecar's container definition, each field with its reason."""

import re
from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.rewriting.logs import log_configuration
from outrider_cdk.rewriting.options import GuardOptions, Text
from outrider_cdk.rewriting.ours import UNDO_LABEL, VERSION_LABEL, Undo, others_of
from outrider_cdk.rewriting.platforms import cpu_units
from outrider_cdk.rewriting.shapes import as_number, as_object, as_text

JOURNAL_DIR: Final = "/outrider"
"""The setting `journal_dir`'s default."""
RESTART_PERIOD_S: Final = 60
"""The shortest that ECS takes; its default is 300."""
CPU_SHARE: Final = 64
_PLAIN_FAMILY: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
HEALTH_CHECK: Final = {
    "command": ["CMD", "outrider", "health"],
    "interval": 10,
    "timeout": 5,
    "retries": 3,
    "startPeriod": 20,
}
"""The image's own, which ECS does not read."""


def sidecar(task: Mapping[str, Any], options: GuardOptions, *, name: str, undo: Undo) -> dict[str, Any]:
    """The container that guards the others of the task."""
    made: dict[str, Any] = {
        "name": name,
        "image": image_for(task, options),
        "essential": options.essential,
        "memory": options.memory_mib,
        "memoryReservation": options.memory_reservation_mib,
        # ECS and Docker make an added capability effective for uid 0 only.
        "user": "0",
        "readonlyRootFilesystem": True,
        "linuxParameters": {"capabilities": {"add": ["SYS_PTRACE"]}},
        "mountPoints": [{"sourceVolume": undo.volume, "containerPath": JOURNAL_DIR, "readOnly": False}],
        "environment": [{"name": variable, "value": value} for variable, value in environment(task, options).items()],
    }
    if wanted := secrets(options):
        made["secrets"] = [{"name": variable, "valueFrom": arn} for variable, arn in wanted.items()]
    if share := cpu_for(task, options):
        made["cpu"] = share
    made["healthCheck"] = {**HEALTH_CHECK, "command": [*HEALTH_CHECK["command"]]}  # type: ignore[misc]
    # Its end must not be the task's, and it is to come back.
    made["restartPolicy"] = {"enabled": True, "restartAttemptPeriod": RESTART_PERIOD_S}
    made["stopTimeout"] = options.stop_timeout_s
    if log := log_configuration(task, options):
        made["logConfiguration"] = log
    made["dockerLabels"] = {VERSION_LABEL: options.version, UNDO_LABEL: undo.to_label()}
    return made


def image_for(task: Mapping[str, Any], options: GuardOptions) -> Text:
    """The image for the task's architecture; empty where none was named."""
    return options.image_arm64 if is_arm(task) else options.image


def is_arm(task: Mapping[str, Any]) -> bool:
    """Whether the task runs on ARM64."""
    return as_text(as_object(task.get("runtimePlatform")).get("cpuArchitecture")).upper() == "ARM64"


def environment(task: Mapping[str, Any], options: GuardOptions) -> dict[str, Text]:
    """The sidecar's settings, as variables."""
    made: dict[str, Text] = _mode(task)
    if options.collector_url:
        made["OUTRIDER_COLLECTOR_URL"] = options.collector_url
    if options.enrol != "auto":
        made["OUTRIDER_ENROL"] = options.enrol
    made["OUTRIDER_STOP_TIMEOUT_S"] = str(options.stop_timeout_s)
    return made | {_variable(name): value for name, value in options.settings.items()}


def collector_of(options: GuardOptions) -> Text:
    """The collector's address, however it was given; an object where it is a secret, empty where there is none."""
    if "collector_url" in options.secrets:
        return {"secret": options.secrets["collector_url"]}
    return options.settings.get("collector_url") or options.collector_url


def _mode(task: Mapping[str, Any]) -> dict[str, Text]:
    """What the sidecar guards: its task; in the machine's PID namespace the containers of this family.

    There the mode `task` would take every process of the machine for the task's, and refuses to start.
    """
    if task.get("pidMode") != "host":
        return {"OUTRIDER_MODE": "task"}
    family = as_text(task.get("family"))
    only = {"OUTRIDER_INCLUDE": f"family={family}"} if _PLAIN_FAMILY.fullmatch(family) else {}
    return {"OUTRIDER_MODE": "host", **only}


def secrets(options: GuardOptions) -> dict[str, Text]:
    """The sidecar's settings that are secrets, as variables and the ARNs of their values."""
    made: dict[str, Text] = {"OUTRIDER_TOKEN": options.token_secret} if options.token_secret else {}
    return made | {_variable(name): arn for name, arn in options.secrets.items()}


def cpu_for(task: Mapping[str, Any], options: GuardOptions) -> int:
    """The sidecar's share of the CPU, 0 for none of its own.

    ECS gives a container without a share two of them, and one with a share as many: beside others that have shares a
    sidecar without would wait whenever they are busy, and a guarded program waits with its tracer.
    """
    if options.cpu is not None:
        return options.cpu
    reserved = sum(max(0, as_number(container.get("cpu")) or 0) for _, container in others_of(task))
    if not reserved:
        return 0
    whole = cpu_units(task)
    return CPU_SHARE if whole is None else max(0, min(CPU_SHARE, whole - reserved))


def _variable(setting: str) -> str:
    return f"OUTRIDER_{setting.upper()}"
