"""Findings as OCSF's class 2004: few, so their nested parts are made one by one."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from outrider_collector.lake.classes import DETECTION_FINDING
from outrider_collector.lake.columns import (
    MAX_RAW_BYTES,
    Flat,
    Origins,
    Told,
    base_columns,
    ints,
    make_told,
    same,
    shorten,
    texts,
)
from outrider_collector.lake.memory import NOBODY, Known
from outrider_wire.events import ProcessId
from outrider_wire.findings import Finding, ProcessView
from outrider_wire.timestamps import from_rfc3339

CREATE: Final = 1
NEW: Final = 1
RULE: Final = 1

SEVERITIES: Final = {"LOW": 2, "MEDIUM": 3, "HIGH": 4}

_TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII)

_COLUMNS = DETECTION_FINDING.columns


def take_findings_apart(rows: Sequence[tuple[Finding, int, int]], known: Origins) -> Told:
    """Findings as `columns.take_apart` takes events."""
    found: list[Finding] = []
    raw: list[bytes | None] = []
    for finding, _, _ in rows:
        text = msgspec.json.encode(finding)
        fits = len(text) <= MAX_RAW_BYTES
        found.append(finding if fits else shorten(finding))
        raw.append(text if fits else None)
    actors = [_known(finding.process) for finding in found]
    return make_told(
        found, actors, pa.array(raw, pa.string()), [row[1] for row in rows], [row[2] for row in rows], known
    )


def _known(process: ProcessView | None) -> Known:
    return Known(ProcessId(process.pid, process.start_ticks)) if process else NOBODY


def map_findings(told: Told) -> Flat:
    """Finding: create; the process and what the rule decided by are its evidences."""
    found: Sequence[Finding] = told.events
    columns = base_columns(
        told,
        activity=CREATE,
        message=[finding.description or finding.title for finding in found],
        severity=[SEVERITIES[finding.severity] for finding in found],
        at_ns=[_at_ns(finding.at) for finding in found],
    )
    return columns | _said(found)


def _said(found: Sequence[Finding]) -> Flat:
    return {
        "severity": texts([finding.severity.capitalize() for finding in found]),
        "count": ints([finding.count for finding in found]),
        "finding_info.title": texts([finding.title for finding in found]),
        "finding_info.uid": texts([finding.id for finding in found]),
        "finding_info.desc": texts([finding.description or None for finding in found]),
        "finding_info.types": pa.array([[finding.type] for finding in found], _COLUMNS["finding_info.types"]),
        "finding_info.analytic.name": texts([finding.rule for finding in found]),
        "finding_info.analytic.type_id": same(RULE, pa.int32(), len(found)),
        "finding_info.attacks": pa.array([_attacks(each) for each in found], _COLUMNS["finding_info.attacks"]),
        "evidences": pa.array([[_evidence(each)] for each in found], _COLUMNS["evidences"]),
        "remediation.desc": texts([finding.remedy or None for finding in found]),
        "status_id": same(NEW, pa.int32(), len(found)),
        "unmapped.name": texts([finding.type for finding in found]),
        "unmapped.attribution": texts([finding.attribution for finding in found]),
    }


def _attacks(finding: Finding) -> list[dict[str, Any]] | None:
    techniques = [tag for tag in finding.tags if _TECHNIQUE.fullmatch(tag)]
    return [{"technique": {"uid": technique}} for technique in techniques] or None


def _evidence(finding: Finding) -> dict[str, Any]:
    evidence: dict[str, Any] = {"data": msgspec.json.encode(finding.evidence).decode()}
    if finding.process is not None:
        evidence["process"] = _evident_process(finding.process)
    return evidence


def _evident_process(process: ProcessView) -> dict[str, Any]:
    """The process, without a pid that is none; its lineage are the programs above it."""
    name = process.exe.rpartition("/")[2] or process.exe
    return {
        "pid": process.pid if 0 <= process.pid < 1 << 31 else None,
        "uid": f"{process.pid}-{process.start_ticks}",
        "name": process.name or None,
        "cmd_line": process.cmdline or None,
        "file": {"name": name, "path": process.exe, "type_id": 1} if process.exe else None,
        "user": {"uid": str(process.uid)} if process.uid >= 0 else None,
        "lineage": [ancestor.exe for ancestor in process.ancestry if ancestor.exe] or None,
    }


def _at_ns(text: str) -> int:
    """A finding's time; what cannot be read counts as 0, which the lake replaces by the time of receipt."""
    try:
        return from_rfc3339(text)
    except ValueError:
        return 0
