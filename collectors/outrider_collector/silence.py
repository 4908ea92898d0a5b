"""Silence: an agent that promised a batch within an interval and sends none for several has a story to tell."""

from outrider_collector.integrity import integrity_finding
from outrider_collector.store.agents import Agent
from outrider_wire.findings import Finding


def silence_finding(agent: Agent, now_ns: int, *, successor: str = "") -> Finding:
    """Tell that an agent fell silent: HIGH, or MEDIUM where a successor has taken over already."""
    silent_s = max(now_ns - agent.seen_at_ns, 0) / 1e9
    after = f"; its successor {successor} has enrolled" if successor else ""
    return integrity_finding(
        "AgentSilent",
        agent,
        at_ns=now_ns,
        cause=f"{agent.next_sequence} {agent.seen_at_ns}",
        description=f"no batch for {silent_s:.1f} s, where one each {agent.interval_s:g} s was promised{after}",
        evidence={
            "silent_for_s": round(silent_s, 3),
            "interval_s": agent.interval_s,
            "next_sequence": agent.next_sequence,
            "resolved_by": successor,
        },
        severity="MEDIUM" if successor else "HIGH",
    )
