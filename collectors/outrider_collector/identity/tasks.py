"""Tasks by their ARNs: what of a task has one live key, and where it is."""

import re

from outrider_wire.errors import WireError

MAX_ARN_LENGTH = 512

_TASK_ARN = re.compile(
    r"arn:(?P<partition>aws|aws-cn|aws-us-gov):ecs:[a-z0-9-]{1,32}:(?P<account>[0-9]{12}):"
    r"task/((?P<cluster>[\w-]{1,255})/)?(?P<id>[0-9a-f-]{32,36})\Z",
    re.ASCII,
)


def subject_of_task(arn: str) -> str:
    """What has one live key, for a task that was claimed: account and id; or the ARN, where it is none of ECS's.

    Raises:
        WireError: `bad-request`, no name of anything.
    """
    if len(arn) > MAX_ARN_LENGTH or not arn.isascii() or not arn.isprintable():
        raise WireError("bad-request", f"a task's ARN is plain text of at most {MAX_ARN_LENGTH} characters")
    if not arn:
        return ""
    found = _TASK_ARN.match(arn)
    return f"task:{found['account']}/{found['id']}" if found else f"arn:{arn}"


def place_of_task(arn: str) -> tuple[str, str]:
    """Account and cluster of a task's ARN; each empty where it does not tell."""
    found = _TASK_ARN.match(arn)
    return (found["account"], found["cluster"] or "") if found else ("", "")
