"""Where a finding is of: the ARNs that a task's own ARN tells of."""

import re
from typing import Final

from msgspec import Struct

from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import TaskView

PARTITIONS: Final = ("aws", "aws-cn", "aws-us-gov", "aws-us-iso", "aws-us-iso-b")
_TASK = re.compile(
    r"arn:(aws[a-z-]*):ecs:([a-z0-9-]{1,16}):(\d{12}):task/(?:([A-Za-z0-9_-]{1,255})/)?[A-Za-z0-9-]{1,128}", re.ASCII
)


class Site(Struct, frozen=True):
    """A task and what it runs on; empty where it is not known. All of it is well formed: agents cannot make it up."""

    partition: str = "aws"
    region: str = ""
    account: str = ""
    task_arn: str = ""
    cluster: str = ""
    family: str = ""
    revision: str = ""

    @property
    def cluster_arn(self) -> str:
        """The cluster's ARN."""
        return self._arn(f"cluster/{self.cluster}") if self.cluster else ""

    @property
    def definition_arn(self) -> str:
        """The task definition's ARN."""
        return self._arn(f"task-definition/{self.family}:{self.revision}") if self.family and self.revision else ""

    def _arn(self, resource: str) -> str:
        return f"arn:{self.partition}:ecs:{self.region}:{self.account}:{resource}"


def site_of(found: StoredFinding) -> Site:
    """The site of a finding; an empty one where its task's ARN is none."""
    return read_site(found.finding.task)


def read_site(task: TaskView | None) -> Site:
    """The site of a task."""
    match = _TASK.fullmatch(task.arn[:2048]) if task else None
    if task is None or match is None or match[1] not in PARTITIONS:
        return Site()
    cluster = match[4] or task.cluster.rpartition("/")[2]
    return Site(
        partition=match[1],
        region=match[2],
        account=match[3],
        task_arn=match[0],
        cluster=cluster if _is_name(cluster) else "",
        family=task.family if _is_name(task.family) else "",
        revision=task.revision if task.revision.isascii() and task.revision.isdecimal() else "",
    )


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{1,255}", text, re.ASCII) is not None
