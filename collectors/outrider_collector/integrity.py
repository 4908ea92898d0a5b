"""Integrity findings: what the collector itself finds wrong with an agent's record.

They are made here because no rule in a task could: a rule sees what happens, these tell of an account that is
missing, doubled or forged. Each has an id that its cause alone decides, so that indexing twice tells it once.
"""

import hashlib
from typing import Literal

from outrider_collector.store.agents import Agent
from outrider_wire.batch import Batch
from outrider_wire.findings import Evidence, Finding, Severity
from outrider_wire.timestamps import to_rfc3339

Kind = Literal[
    "Gap",
    "Fork",
    "BrokenChain",
    "Replay",
    "ClockSkew",
    "AgentSilent",
    "SecondEnrolment",
    "ContestedEnrolment",
    "UnreadableBatch",
]

ID_PREFIX = "collector:"
"""Ids of the collector's own findings begin so; an agent's never do."""

_WORDS: dict[Kind, tuple[Severity, str, str]] = {
    "Gap": (
        "MEDIUM",
        "Batches of an agent are missing",
        "Look for what the sidecar lost (a full or removed journal); if nothing explains it, suspect the task.",
    ),
    "Fork": (
        "HIGH",
        "An agent's key signed two different batches under one number",
        "Someone else may hold the agent's key: stop the task, and see who could read the sidecar's memory or journal.",
    ),
    "BrokenChain": (
        "HIGH",
        "A batch does not follow from the one before it",
        "The agent's record was rewritten or its journal was put back: compare the spooled batches around this one.",
    ),
    "Replay": (
        "MEDIUM",
        "A batch that was accepted long ago was handed in again",
        "Somebody has old bytes of this agent: a copy of its journal, or of the traffic. Nothing of it counted again.",
    ),
    "ClockSkew": (
        "LOW",
        "An agent's clock is ahead, or stepped back",
        "Times in this agent's record are not to be relied on: compare when each batch was received.",
    ),
    "UnreadableBatch": (
        "HIGH",
        "An agent signed a batch whose records cannot be read",
        "The batch is kept as it came. See which sidecar made it; if none of yours, its key is in use elsewhere.",
    ),
    "AgentSilent": (
        "HIGH",
        "An agent fell silent without a good-bye",
        "See whether the task still runs; if it does, its sidecar was stopped or cut off.",
    ),
    "SecondEnrolment": (
        "HIGH",
        "A second key was offered for what has one",
        "Another container of the task, or somebody with the token, spoke for it; or the sidecar lost its journal.",
    ),
    "ContestedEnrolment": (
        "HIGH",
        "An agent's key may not be the sidecar's: another one proved as much",
        "The sidecar's log names its key: adopt that one; if it is not this one, do not believe what this one said.",
    ),
}


def integrity_finding(
    kind: Kind,
    agent: Agent,
    *,
    at_ns: int,
    cause: str,
    description: str,
    evidence: dict[str, Evidence],
    severity: Severity | None = None,
) -> Finding:
    """Make one. `cause` tells it from others of its kind and agent."""
    usual, title, remedy = _WORDS[kind]
    digest = hashlib.sha256(f"{kind}\0{agent.agent}\0{cause}".encode()).hexdigest()
    return Finding(
        id=ID_PREFIX + digest[:32],
        type=f"Outrider:Integrity/{kind}",
        rule=f"integrity_{kind.lower()}",
        severity=severity or usual,
        title=title,
        at=to_rfc3339(at_ns),
        process=None,
        container=None,
        evidence=evidence | {"agent": agent.agent},
        attribution="exact",
        description=description,
        remedy=remedy,
        tags=["integrity"],
        task=agent.task,
        agent=agent.agent,
    )


def unreadable_finding(agent: Agent, batch: Batch, reason: str, now_ns: int) -> Finding:
    """Tell of a signed batch that cannot be read."""
    number = batch.header.sequence
    return integrity_finding(
        "UnreadableBatch",
        agent,
        at_ns=now_ns,
        cause=f"{number} {batch.digest.hex()}",
        description=f"the records of batch {number} cannot be read: {reason[:200]}",
        evidence={"sequence": number, "digest": batch.digest.hex(), "software": batch.header.software},
    )
