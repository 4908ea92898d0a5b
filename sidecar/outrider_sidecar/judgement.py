"""From a rule that held to a finding a person can act on: pure."""

import hashlib

from outrider_rules import Rule, Value
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.tree import Process
from outrider_wire.events import ProcessId
from outrider_wire.findings import Ancestor, Evidence, Finding, ProcessView
from outrider_wire.timestamps import to_rfc3339

MAX_COMMAND = 4_096
"""Longest command line shown of an ancestor, in characters; the process's own is shown whole."""


def make_finding(rule: Rule, context: Context, *, agent: str = "") -> Finding:
    """The finding of one rule about one event."""
    process = context.process
    at = to_rfc3339(context.event.at_ns)
    return Finding(
        id=finding_id(agent, rule.name, context.event.at_ns, process.id if process else None),
        type=rule.finding or f"Outrider:Rule/{rule.name.title().replace(' ', '')}",
        rule=rule.name,
        severity=rule.severity,
        title=rule.title or rule.name,
        at=at,
        process=process_view(process, context) if process else None,
        container=context.container.view if context.container else None,
        evidence={name: _plain(value) for name, value in rule.evidence(context).items()} | unnamed_task(context),
        attribution=context.world.attribution_of(context.event),
        description=rule.render(context).strip(),
        remedy=rule.remedy.strip(),
        priority=rule.priority,
        tags=list(rule.tags),
        task=context.task,
        agent=agent,
    )


def unnamed_task(context: Context) -> dict[str, Evidence]:
    """The id of a task whose ARN nobody told: the cgroup path alone says so much."""
    task, container = context.task, context.container
    return {"ecs.task_id": container.task_id} if container is not None and task is not None and not task.arn else {}


def _plain(value: Value) -> Evidence:
    return [str(part) for part in value] if isinstance(value, list | tuple) else value


def process_view(process: Process, context: Context) -> ProcessView:
    """A process with its whole ancestry, nearest first."""
    return ProcessView(
        pid=process.id.pid,
        start_ticks=process.id.start_ticks,
        name=process.name,
        exe=process.exe.path,
        cmdline=process.cmdline,
        cwd=process.cwd,
        uid=process.uid,
        ancestry=[
            Ancestor(pid=a.id.pid, name=a.name, exe=a.exe.path, cmdline=a.cmdline[:MAX_COMMAND])
            for a in (context.ancestors if process is context.process else context.world.tree.ancestors(process))
        ],
        started_at=to_rfc3339(process.started_at_ns) if process.started_at_ns else "",
    )


def finding_id(agent: str, rule: str, at_ns: int, process: ProcessId | None) -> str:
    """32 hex digits that name this finding for ever: who found what, when, about whom."""
    whom = f"{process.pid}/{process.start_ticks}" if process else "-"
    return hashlib.sha256(f"{agent}\0{rule}\0{at_ns}\0{whom}".encode("utf-8", "backslashreplace")).hexdigest()[:32]
