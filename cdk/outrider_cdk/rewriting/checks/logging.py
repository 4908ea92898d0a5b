"""The sidecar's own log: somewhere, and where it can be read."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.logs import FIRELENS, log_configuration
from outrider_cdk.rewriting.options import AwsLogs, GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem, error, note, warning


def check_log(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """There is a log, a log router where one is wanted, and a group that ECS may make."""
    log = log_configuration(task, options)
    if log is None:
        where = "nowhere" if platform_of(task, options) == "fargate" else "to the machine's own log"
        says = f"No container has a log that the sidecar could share: its own goes {where}."
        yield warning((), "no-log", says, "Name one (log: a CloudWatch group, or FireLens).")
        return
    router = any("firelensConfiguration" in container for _, container in others_of(task))
    if log.get("logDriver") == FIRELENS and not router:
        says = "The sidecar's log is to go to FireLens, and no container of the task is a log router."
        yield error((), "no-log-router", says, "Add one (firelensConfiguration), or name a CloudWatch group (log).")
    if isinstance(options.log, AwsLogs) and options.log.create_group:
        says = "ECS makes the log group; the execution role must be allowed to."
        yield note((), "makes-log-group", says, "Allow logs:CreateLogGroup, or make the group and say so.")
