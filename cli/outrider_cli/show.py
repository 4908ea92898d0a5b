"""How things are shown to a person: hostile text escaped at this one exit."""

from outrider_wire.findings import Finding
from outrider_wire.text import printable


def finding_block(finding: Finding) -> str:
    """A finding as a few lines: what, where, who, by whose hand, and what to do."""
    lines = [f"{finding.severity:<6} {finding.type}", f"       {printable(finding.title)}"]
    rows: list[tuple[str, str]] = [("at", finding.at)]
    if finding.process is not None:
        process = finding.process
        rows.append(("process", f"{process.cmdline or process.name}  (pid {process.pid}, uid {process.uid})"))
        rows.append(("exe", process.exe))
        if process.ancestry:
            line = " ← ".join(f"{a.cmdline or a.name} ({a.pid})" for a in process.ancestry)
            rows.append(("by", line))
    if finding.container is not None and finding.container.id != "host":
        rows.append(("in", " ".join(part for part in (finding.container.name, finding.container.id) if part)))
    rows += [(name, str(value)) for name, value in _telling(finding)]
    rows.append(("do", finding.remedy))
    lines += [f"       {name:<9}{_shortened(printable(' '.join(value.split())))}" for name, value in rows if value]
    return "\n".join(lines)


_SHOWN = (
    ("file", "proc.new_file"),
    ("because", "proc.exe_drift"),
    ("library", "library.path"),
    ("remote", "stdio.remote"),
    ("tie", "stdio.tie"),
    ("via", "stdio.via"),
    ("holder", "stdio.holder"),
    ("name", "dns.name"),
    ("listed", "dns.listed_as"),
    ("reason", "reason"),
)


def _telling(finding: Finding) -> list[tuple[str, object]]:
    evidence = dict(finding.evidence)
    if evidence.get("proc.is_script_new") or evidence.get("proc.is_script_undecided"):
        evidence["proc.exe_drift"] = evidence.get("proc.script_drift")
    return [(label, evidence[key]) for label, key in _SHOWN if evidence.get(key)]


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
