"""Integrity findings: made by the code that loses sight, not by a rule, because no rule can see what was not seen."""

from outrider_rules import Rule
from outrider_sidecar.fields.context import Context
from outrider_sidecar.folding import STORM
from outrider_sidecar.judgement import finding_id, process_view, unnamed_task
from outrider_sidecar.world.world import World
from outrider_wire.events import Event, ProcessStarted, SightLost
from outrider_wire.findings import Finding
from outrider_wire.timestamps import to_rfc3339

_SENSE_LOST_REMEDY = (
    "Look at what ran in the gap from other records. If nothing in the task explains it, treat it as tampering."
)


def integrity_finding(event: Event, world: World, *, agent: str) -> Finding | None:
    """The finding that an event itself is, or None; a standing limit is told of by log, health and batch instead."""
    if isinstance(event, SightLost):
        if event.tampered:
            return _tampered(event, world, agent)
        return None if event.standing else _sight_lost(event, world, agent)
    if isinstance(event, ProcessStarted) and event.untraced:
        return _untraced(event, world, agent)
    return None


def storm_finding(rule: Rule, context: Context, *, agent: str) -> Finding:
    """So many findings of one rule came in a minute that the rest of that minute's are counted, not told."""
    at_ns = context.event.at_ns
    return Finding(
        id=finding_id(agent, f"Storm/{rule.name}", at_ns, None),
        type="Outrider:Integrity/FindingStorm",
        rule="Finding Storm",
        severity="HIGH",
        title=f"More than {STORM} findings of one rule in a minute: the rest of that minute is not told one by one",
        at=to_rfc3339(at_ns),
        process=process_view(context.process, context) if context.process else None,
        container=context.container.view if context.container else None,
        evidence={"rule": rule.name, "finding": rule.finding, "told": STORM, **unnamed_task(context)},
        attribution="exact",
        description=f"{rule.name} held more than {STORM} times in a minute; a flood may be meant to hide one of them.",
        remedy="Look at the events of that minute: they hold what the findings do not. Stop the task if in doubt.",
        tags=["integrity"],
        task=context.task,
        agent=agent,
    )


def _sight_lost(event: SightLost, world: World, agent: str) -> Finding:
    return Finding(
        id=finding_id(agent, f"SightLost/{event.sense}/{event.reason}", event.at_ns, None),
        type="Outrider:Integrity/SightLost",
        rule="Sight Lost",
        severity="MEDIUM",
        title=f"Something of this task was not seen ({event.sense})",
        at=to_rfc3339(event.at_ns),
        process=None,
        container=None,
        evidence={
            "sense": event.sense,
            "reason": event.reason,
            "lost": event.lost,
            "since": to_rfc3339(event.since_ns) if event.since_ns else None,
        },
        attribution="exact",
        description=f"{event.sense}: {event.reason}" + (f"; {event.lost} events lost" if event.lost else ""),
        remedy=_SENSE_LOST_REMEDY,
        tags=["integrity"],
        task=world.containers.task,
        agent=agent,
    )


def _tampered(event: SightLost, world: World, agent: str) -> Finding:
    return Finding(
        id=finding_id(agent, f"SidecarTampered/{event.sense}/{event.reason}", event.at_ns, None),
        type="Outrider:Integrity/SidecarTampered",
        rule="Sidecar Tampered",
        severity="HIGH",
        title="Somebody changed what the sidecar itself may do",
        at=to_rfc3339(event.at_ns),
        process=None,
        container=None,
        evidence={"sense": event.sense, "reason": event.reason},
        attribution="exact",
        description=f"{event.reason}; nothing ordinary does that, and it can starve the sidecar or end it first.",
        remedy="Treat a container of the task whose programs run as root as an intruder's, and stop the task.",
        tags=["integrity", "mitre_defense_evasion", "T1562.001"],
        task=world.containers.task,
        agent=agent,
    )


def _untraced(event: ProcessStarted, world: World, agent: str) -> Finding:
    context = Context(event, world)
    process = world.tree.get(event.process)
    return Finding(
        id=finding_id(agent, "UntracedChild", event.at_ns, event.process),
        type="Outrider:Integrity/UntracedChild",
        rule="Untraced Child",
        severity="HIGH",
        title="A process was made in a way that hides it from tracing",
        at=to_rfc3339(event.at_ns),
        process=process_view(process, context) if process else None,
        container=context.container.view if context.container else None,
        evidence={"clone_flag": "CLONE_UNTRACED", **unnamed_task(context)},
        attribution="exact",
        description="A traced process made a child with CLONE_UNTRACED; nothing ordinary does that.",
        remedy="Treat the process and its parent as an intruder's. It is traced again from here on.",
        tags=["integrity", "mitre_defense_evasion", "T1622"],
        task=context.task,
        agent=agent,
    )
