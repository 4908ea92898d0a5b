"""A finding in the shape of Falco's JSON output: pure.

`output` is the whole line that Falco prints (time of day, priority, text), `message` the text alone. What a finding
knows and Falco has no place for goes into `output_fields`, which is never empty: receivers refuse it so.
"""

import uuid
from typing import Final

from msgspec import Struct

from outrider_wire.findings import Finding, Severity
from outrider_wire.timestamps import from_rfc3339

PRIORITIES: Final = {
    **{word.upper(): word for word in ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Debug")},
    "INFO": "Informational",
}
"""Falco's spelling of each priority."""

_OF_SEVERITY: Final[dict[Severity, str]] = {"HIGH": "Critical", "MEDIUM": "Warning", "LOW": "Notice"}

INTERNAL: Final = "Outrider:Integrity/"
"""Type of findings that no rule made; Falco calls the source of such `internal`."""

Shown = str | int | float | bool | None


class FalcoAlert(Struct, frozen=True, gc=False):
    """One alert. `time` is RFC 3339 with nanoseconds and `Z`; `uuid` is the finding's own id."""

    uuid: str
    output: str
    message: str
    priority: str
    rule: str
    time: str
    source: str
    tags: list[str]
    hostname: str
    output_fields: dict[str, Shown]


def to_alert(finding: Finding, *, hostname: str) -> FalcoAlert:
    """The alert that says what a finding says."""
    priority = PRIORITIES.get(finding.priority) or _OF_SEVERITY[finding.severity]
    message = finding.description or finding.title
    return FalcoAlert(
        uuid=_uuid(finding.id),
        output=f"{finding.at[11:].removesuffix('Z')}: {priority} {message}",
        message=message,
        priority=priority,
        rule=finding.rule,
        time=finding.at,
        source="internal" if finding.type.startswith(INTERNAL) else "syscall",
        tags=sorted(finding.tags),
        hostname=hostname,
        output_fields=_fields(finding),
    )


def _uuid(identity: str) -> str:
    try:
        return str(uuid.UUID(identity))
    except ValueError:
        return identity


def _fields(finding: Finding) -> dict[str, Shown]:
    """The evidence, and who and where, under Falco's names; ours begin with `outrider.`."""
    fields: dict[str, Shown] = {"evt.time": from_rfc3339(finding.at)}
    if finding.process is not None:
        process = finding.process
        fields |= {"proc.pid": process.pid, "proc.name": process.name, "proc.exepath": process.exe}
        fields |= {"proc.cmdline": process.cmdline, "user.uid": process.uid}
        if process.ancestry:
            fields |= {"proc.ppid": process.ancestry[0].pid, "proc.pname": process.ancestry[0].name}
    if finding.container is not None:
        fields |= {"container.id": finding.container.id, "container.name": finding.container.name or None}
        fields["container.image"] = finding.container.image or None
    fields |= {name: _shown(value) for name, value in finding.evidence.items()}
    if finding.task is not None:
        fields["ecs.task_arn"] = finding.task.arn
    fields |= {"outrider.type": finding.type, "outrider.severity": finding.severity, "outrider.agent": finding.agent}
    return fields | {"outrider.title": finding.title, "outrider.attribution": finding.attribution}


def _shown(value: str | int | float | bool | list[str] | None) -> Shown:
    """Lists as Falco prints them: receivers take texts and numbers."""
    return "(" + ",".join(value) + ")" if isinstance(value, list) else value
