"""Origins: who told of a record, in which batch, and of which task and container it is.

All records of one container in one batch share an origin, so its dozen columns are made once for them all.
"""

import re
from typing import Final

from msgspec import Struct

from outrider_wire.events import ContainerSeen
from outrider_wire.findings import ContainerView, TaskView

NO_ACCOUNT: Final = "000000000000"
NO_REGION: Final = "unknown"
"""Where the task is not known by an ARN: such records have a partition of their own."""

MAX_EARLIER_NS: Final = 7 * 86_400 * 10**9
MAX_LATER_NS: Final = 600 * 10**9
"""How far a record's own time may be from when it was received; beyond that the lake goes by the latter.

Else an agent with a wild clock, or a wish, could make partitions without end.
"""

_ARN = re.compile(r"arn:aws[a-z-]*:[a-z-]+:([a-z]{2}(?:-[a-z]+)+-\d):(\d{12}):.*", re.ASCII | re.DOTALL)

MAX_TEXT: Final = 2048
"""Longest name, image or ARN that is kept of an origin, in characters."""


class Origin(Struct, frozen=True):
    """Where a record comes from. What is not known is None.

    `named` stands for the batch in the name of a record that came in none.
    """

    agent: str
    sequence: int | None
    received_at_ns: int
    software: str | None = None
    task_arn: str | None = None
    cluster: str | None = None
    family: str | None = None
    revision: str | None = None
    container_id: str | None = None
    container_name: str | None = None
    image: str | None = None
    named: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Region and account, from the task's ARN."""
        return read_arn(self.task_arn or "")


def read_arn(arn: str) -> tuple[str, str]:
    """Region and account of an ARN, or what stands for neither being known."""
    match = _ARN.fullmatch(arn[:MAX_TEXT])
    return (match[1], match[2]) if match else (NO_REGION, NO_ACCOUNT)


def origin_of(batch: Origin, container: ContainerSeen | None) -> Origin:
    """The origin of a container's records in a batch; without one, the batch's own."""
    if container is None:
        return batch
    return Origin(
        agent=batch.agent,
        sequence=batch.sequence,
        received_at_ns=batch.received_at_ns,
        software=batch.software,
        task_arn=_said(container.task_arn) or batch.task_arn,
        cluster=_said(container.cluster) or batch.cluster,
        family=_said(container.family) or batch.family,
        revision=_said(container.revision) or batch.revision,
        container_id=_said(container.id),
        container_name=_said(container.name),
        image=_said(container.image),
        named=batch.named,
    )


def batch_origin(
    agent: str, sequence: int, received_at_ns: int, *, software: str = "", task: TaskView | None = None
) -> Origin:
    """The origin of what a batch says of no container in particular."""
    return Origin(
        agent=agent,
        sequence=sequence,
        received_at_ns=received_at_ns,
        software=_said(software),
        task_arn=_said(task.arn) if task else None,
        cluster=_said(task.cluster) if task else None,
        family=_said(task.family) if task else None,
        revision=_said(task.revision) if task else None,
    )


def finding_origin(batch: Origin, task: TaskView | None, container: ContainerView | None) -> Origin:
    """The origin of a finding, which names its task and container itself."""
    seen = ContainerSeen(
        at_ns=0,
        mnt_ns=0,
        id=container.id if container else "",
        name=container.name if container else "",
        image=container.image if container else "",
        task_arn=task.arn if task else "",
        cluster=task.cluster if task else "",
        family=task.family if task else "",
        revision=task.revision if task else "",
    )
    return origin_of(batch, seen)


def _said(text: str) -> str | None:
    return text[:MAX_TEXT] or None
