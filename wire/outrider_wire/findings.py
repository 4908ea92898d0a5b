"""Findings: a rule that held, with its evidence, named in GuardDuty's grammar.

One JSON object a line of `--json` output is one `Finding` in this shape.
"""

from typing import Literal

from msgspec import Struct

from outrider_wire.events import Attribution

Severity = Literal["LOW", "MEDIUM", "HIGH"]

Evidence = str | int | float | bool | list[str] | None


class Ancestor(Struct, frozen=True, gc=False):
    """One step up from a process, nearest first in `ProcessView.ancestry`."""

    pid: int
    name: str
    exe: str
    cmdline: str


class ProcessView(Struct, frozen=True, gc=False):
    """A process as a person wants to read of it. `started_at` is RFC 3339, empty when unknown."""

    pid: int
    start_ticks: int
    name: str
    exe: str
    cmdline: str
    cwd: str
    uid: int
    ancestry: list[Ancestor]
    started_at: str = ""


class ContainerView(Struct, frozen=True, gc=False):
    """A container; `name` and `image` are empty where the metadata endpoint did not tell."""

    id: str
    name: str = ""
    image: str = ""


class TaskView(Struct, frozen=True, gc=False):
    """The ECS task a finding is of."""

    arn: str
    cluster: str = ""
    family: str = ""
    revision: str = ""


class Finding(Struct, frozen=True, gc=False):
    """What was found. `at` is RFC 3339 with nanoseconds; `id` is unique and stable across retries.

    `description` is the rule's output with its fields filled in; `remedy` says what to do. `evidence` holds
    the fields the rule decided by and what the rule's author asked to be shown.
    """

    id: str
    type: str
    rule: str
    severity: Severity
    title: str
    at: str
    process: ProcessView | None
    container: ContainerView | None
    evidence: dict[str, Evidence]
    attribution: Attribution
    description: str = ""
    remedy: str = ""
    priority: str = ""
    tags: list[str] = []
    task: TaskView | None = None
    agent: str = ""
    count: int = 1
