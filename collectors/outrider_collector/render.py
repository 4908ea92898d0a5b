"""Findings and agents for a terminal: tables that fit its width, with hostile text escaped."""

import unicodedata
from collections.abc import Sequence

from outrider_collector.api.views import FindingView
from outrider_collector.export.operations import DeadFinding, ExportView
from outrider_collector.lists.entry_operations import EntryView
from outrider_collector.lists.gathering import SourceState
from outrider_collector.views import AgentView
from outrider_wire.findings import Finding
from outrider_wire.text import ELLIPSIS, printable
from outrider_wire.timestamps import to_rfc3339

MIN_WIDTH = 60

MIN_LAST = 12
"""Fewest columns of a table's last column."""

GAP = "  "

SHOWN_ID = 10
"""Characters of a finding's id that are shown; the command line takes them for the whole."""


def findings_table(findings: Sequence[FindingView], *, width: int) -> str:
    """One line for each finding: id, time, severity, how often, type, and what happened, cut to `width` columns."""
    rows = [
        (
            f.id[:SHOWN_ID],
            _time(f.last_seen),
            f.severity,
            f.state,
            str(f.count),
            f.type,
            _process(f.latest),
            f.latest.description or f.title,
        )
        for f in findings
    ]
    return _table(("ID", "LAST SEEN", "SEVERITY", "STATE", "COUNT", "TYPE", "PROCESS", "WHAT"), rows, width=width)


def agents_table(agents: Sequence[AgentView], *, width: int) -> str:
    """One line for each agent: id, state, when last heard, batches, what it lost, its task."""
    rows = [
        (a.agent[:12], _state(a), _time(a.seen_at), str(a.batches), str(sum(a.facts.lost.values())), _task(a))
        for a in agents
    ]
    return _table(("AGENT", "STATE", "LAST HEARD", "BATCHES", "LOST", "TASK"), rows, width=width)


def exports_table(exports: Sequence[ExportView], *, width: int) -> str:
    """One line for each export: whether it goes on, how far it is, what waits and what was given up, what is wrong."""
    rows = [
        (
            e.name,
            "failing" if e.failing_since else "well",
            str(e.sent),
            _time(e.sent_at) or "-",
            str(e.behind),
            str(e.waiting),
            str(e.dead),
            e.error or "-",
        )
        for e in exports
    ]
    return _table(("EXPORT", "STATE", "SENT", "LAST SENT", "BEHIND", "WAITING", "DEAD", "ERROR"), rows, width=width)


def dead_table(dead: Sequence[DeadFinding], *, width: int) -> str:
    """One line for each finding that was given up: its whole id, when, after how many tries, and why."""
    rows = [(d.finding, _time(d.at), str(d.tries), d.reason) for d in dead]
    return _table(("FINDING", "GIVEN UP", "TRIES", "REASON"), rows, width=width)


def sources_table(sources: Sequence[SourceState], *, width: int) -> str:
    """One line for each source of threat lists: what it gave, what was skipped, when it was read, what is wrong."""
    rows = [
        (
            s.name,
            str(s.entries),
            str(sum(s.skipped.values())),
            _time(to_rfc3339(s.read_at_s * 10**9)) if s.read_at_s else "never",
            s.place,
            s.error or "-",
        )
        for s in sources
    ]
    return _table(("SOURCE", "ENTRIES", "SKIPPED", "READ", "FROM", "ERROR"), rows, width=width)


def entries_table(entries: Sequence[EntryView], *, width: int) -> str:
    """One line for each entry of lists by hand: what it says, until when, who said so, when and why."""
    rows = [
        (
            e.list,
            e.value,
            e.kind,
            "trusted" if e.trusted else e.category,
            _time(e.expires_at) or "never",
            e.who,
            _time(e.made_at),
            e.why or "-",
        )
        for e in entries
    ]
    return _table(("LIST", "ENTRY", "KIND", "AS", "EXPIRES", "BY", "CHANGED", "WHY"), rows, width=width)


def fit(text: str, columns: int) -> str:
    """The text, made safe to print, in exactly so many terminal columns."""
    shown: list[str] = []
    used = 0
    clean = printable(text)
    for character in clean:
        wide = _columns(character)
        if used + wide > columns:
            return _cut(shown, columns)
        shown.append(character)
        used += wide
    return "".join(shown) + " " * (columns - used)


def _cut(shown: list[str], columns: int) -> str:
    used = sum(map(_columns, shown))
    while shown and used + 1 > columns:
        used -= _columns(shown.pop())
    tail = ELLIPSIS if columns > 0 else ""
    return "".join(shown) + tail + " " * (columns - used - len(tail))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, width: int) -> str:
    """All columns but the last as wide as they need, the widest giving way; the last takes what is left."""
    width = max(width, MIN_WIDTH)
    widths = [max(sum(map(_columns, printable(line[i]))) for line in (heads, *rows)) for i in range(len(heads) - 1)]
    room = width - len(GAP) * len(widths) - MIN_LAST
    widths = _shrink([min(each, room) for each in widths], room)
    last = room - sum(widths) + MIN_LAST
    lines = [GAP.join(map(fit, line, [*widths, last])).rstrip() for line in (heads, *rows)]
    return "\n".join(lines)


def _shrink(widths: list[int], room: int) -> list[int]:
    """Take columns from the widest until all fit."""
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    return widths


def _time(text: str) -> str:
    """Date and time to the second."""
    return text[:19].replace("T", " ")


def _process(finding: Finding) -> str:
    return f"{finding.process.name}[{finding.process.pid}]" if finding.process else "-"


def _state(agent: AgentView) -> str:
    if agent.status != "live":
        return agent.status
    return "ended" if agent.said_goodbye else "silent" if agent.silent else "live"


def _task(agent: AgentView) -> str:
    return agent.task.arn if agent.task else "-"
