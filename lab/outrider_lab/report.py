"""Findings and timings as a person reads them. Pure: values in, text out."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from outrider_wire.findings import Finding
from outrider_wire.text import printable

WIDTH: Final = 110
_COLOURS: Final = {"HIGH": "\x1b[1;31m", "MEDIUM": "\x1b[1;33m", "LOW": "\x1b[1;36m"}
_RESET: Final = "\x1b[0m"


def render_finding(finding: Finding, *, colour: bool = False) -> str:
    """One finding: what, where, who, by whose hand, and what to do."""
    on, off = (_COLOURS[finding.severity], _RESET) if colour else ("", "")
    lines = [f"{on}{finding.severity:<6}{off} {finding.type}", _row("", finding.title)]
    if finding.description and finding.description != finding.title:
        lines.append(_row("what", finding.description))
    if finding.process is not None:
        process = finding.process
        lines.append(_row("process", f"{process.name} (pid {process.pid}, uid {process.uid}): {process.cmdline}"))
        lines.append(_row("program", f"{process.exe} in {process.cwd}"))
        chain = " < ".join(f"{ancestor.name} ({ancestor.pid})" for ancestor in process.ancestry)
        lines.append(_row("started by", chain) if chain else "")
    if finding.container is not None:
        lines.append(_row("container", f"{finding.container.name or '?'} ({finding.container.id})"))
    evidence = "  ".join(f"{name}={_value(value)}" for name, value in finding.evidence.items())
    lines.append(_row("evidence", evidence) if evidence else "")
    lines.append(_row("at", f"{finding.at}  ({finding.attribution})"))
    if finding.remedy:
        lines.append(_row("do", finding.remedy))
    return "\n".join(line for line in lines if line)


def render_findings(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """All findings, oldest first, and how many there are."""
    if not findings:
        return "No findings."
    count = f"{len(findings)} finding{'s' if len(findings) > 1 else ''}:"
    return "\n\n".join([count, *(render_finding(finding, colour=colour) for finding in findings)])


def render_timings(timings_s: Mapping[str, float], total_s: float) -> str:
    """When each step of the start was done, in seconds since the supervisor's start, and the whole."""
    rows = [f"  {seconds:6.3f} s  {name}" for name, seconds in timings_s.items()]
    return "\n".join(["start:", *rows, f"  {total_s:6.3f} s  in all, as the caller saw it"])


def _row(label: str, text: str) -> str:
    lead = f"       {label:<11}" if label else "       "
    return textwrap.fill(
        printable(text), WIDTH, initial_indent=lead, subsequent_indent=" " * 18, break_on_hyphens=False
    )


def _value(value: object) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)
