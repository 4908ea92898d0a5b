"""Where the sidecar's own log goes: CloudWatch Logs, the task's log router, or where the app's goes."""

from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.rewriting.options import AwsLogs, FireLens, GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.shapes import as_object

FIRELENS: Final = "awsfirelens"

_OF_THE_APP: Final = ("awslogs-datetime-format", "awslogs-multiline-pattern")
"""Options that say how several lines of the app make one entry; the sidecar writes one JSON object a line."""


def log_configuration(task: Mapping[str, Any], options: GuardOptions) -> dict[str, Any] | None:
    """The sidecar's logConfiguration; None where it is to be the app's and no container has one."""
    match options.log:
        case AwsLogs() as logs:
            return _awslogs(logs)
        case FireLens(options=output, secrets=secrets):
            made: dict[str, Any] = {"logDriver": FIRELENS}
            if output:
                made["options"] = dict(output)
            if secrets:
                made["secretOptions"] = [{"name": name, "valueFrom": arn} for name, arn in secrets.items()]
            return made
        case _:
            return _same_as_app(task)


def _awslogs(logs: AwsLogs) -> dict[str, Any]:
    """Non-blocking: a guard that waits for its log is no guard."""
    made: dict[str, Any] = {
        "awslogs-group": logs.group,
        "awslogs-region": logs.region,
        "awslogs-stream-prefix": logs.prefix,
    }
    if logs.create_group:
        made["awslogs-create-group"] = "true"
    return {"logDriver": "awslogs", "options": {**made, "mode": "non-blocking"}}


def _same_as_app(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy of the first container's that has one, the log router's last."""
    candidates = sorted((container for _, container in others_of(task)), key=lambda c: "firelensConfiguration" in c)
    found = next(
        (log for c in candidates if isinstance((log := as_object(c.get("logConfiguration"))).get("logDriver"), str)),
        None,
    )
    if found is None:
        return None
    output = found.get("options")
    if isinstance(output, dict) and found["logDriver"] == "awslogs":
        output = {**{key: value for key, value in output.items() if key not in _OF_THE_APP}, "mode": "non-blocking"}
    kept = {"logDriver": found["logDriver"], "options": output, "secretOptions": found.get("secretOptions")}
    return {key: value for key, value in kept.items() if value is not None}
