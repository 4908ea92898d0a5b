"""The caller: which task or instance an assumed role's session stands for.

ECS names the session of a task's role by the task's id, EC2 that of an instance's role by the instance's. That is true
of roles that nobody else may assume: whoever calls AssumeRole himself names the session as he likes. So the roles are
listed by kind, and a role that is listed must trust ECS, or EC2, alone.
"""

import re
from typing import Literal

from msgspec import Struct

from outrider_collector.identity.patterns import matches
from outrider_collector.identity.sts import CallerIdentity
from outrider_collector.identity.tasks import subject_of_task
from outrider_wire.errors import WireError
from outrider_wire.findings import TaskView

Kind = Literal["task", "instance"]

_ASSUMED = re.compile(
    r"arn:(?P<partition>aws|aws-cn|aws-us-gov):sts::(?P<account>[0-9]{12}):assumed-role/"
    r"(?P<role>[\w+=,.@-]{1,64})/(?P<session>[\w+=,.@-]{2,64})\Z",
    re.ASCII,
)
_TASK = re.compile(r"([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")
_INSTANCE = re.compile(r"m?i-([0-9a-f]{8}|[0-9a-f]{17})\Z")


class Allowed(Struct, frozen=True):
    """Who may enrol: accounts, and patterns of `role` or `account/role` by what their sessions are named for."""

    accounts: frozenset[str]
    task_roles: tuple[str, ...]
    instance_roles: tuple[str, ...]


class Identity(Struct, frozen=True):
    """What STS proves: this task, or this instance, of this account, in this role. `arn` is STS's own word."""

    kind: Kind
    account: str
    id: str
    role: str
    arn: str

    @property
    def subject(self) -> str:
        """What has one live key."""
        return f"{self.kind}:{self.account}/{self.id}"


def identify(caller: CallerIdentity, allowed: Allowed, *, partition: str = "") -> Identity:
    """Who the caller is. Raises WireError `aws-identity` where that is nobody who is let in."""
    found = _ASSUMED.match(caller.arn)
    if found is None:
        raise _nobody(f"{caller.arn[:200]!r} is no session of a role")
    account, role, session = found["account"], found["role"], found["session"]
    if caller.account != account or caller.user_id.rpartition(":")[2] != session:
        raise _nobody("STS names two different callers")
    if partition and found["partition"] != partition:
        raise _nobody(f"{caller.arn[:200]!r} is of another partition")
    if account not in allowed.accounts:
        raise _nobody(f"account {account} is not allowed here")
    for_task = _is_listed(allowed.task_roles, account, role)
    for_instance = _is_listed(allowed.instance_roles, account, role)
    if for_task and _TASK.match(session):
        return Identity("task", account, session, role, caller.arn)
    if for_instance and _INSTANCE.match(session):
        return Identity("instance", account, session, role, caller.arn)
    if not for_task and not for_instance:
        raise _nobody(f"role {account}/{role} is not allowed here")
    raise _nobody(f"session {session!r} of role {role} is named for no {'task' if for_task else 'instance'}")


def check_claim(identity: Identity, task: TaskView | None) -> None:
    """Hold what a request says of its task against what is proved.

    Raises:
        WireError: `aws-proof`, it is another task; `aws-identity`, an instance's role proves no task.
    """
    if task is None:
        return
    if identity.kind == "instance":
        raise _nobody("an instance's role proves no task: give the task a role of its own")
    if subject_of_task(task.arn) != identity.subject:
        raise WireError("aws-proof", f"the role is that of task {identity.id}, and the request says {task.arn[:200]!r}")


def _is_listed(patterns: tuple[str, ...], account: str, role: str) -> bool:
    return any(matches(pattern, f"{account}/{role}" if "/" in pattern else role) for pattern in patterns)


def _nobody(what: str) -> WireError:
    return WireError("aws-identity", what)
