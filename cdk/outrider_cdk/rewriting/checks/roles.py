"""The roles: ECS reads secrets and writes logs by one, and the sidecar may enrol by the other."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.logs import log_configuration
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem, error, note, warning
from outrider_cdk.rewriting.shapes import is_absent
from outrider_cdk.rewriting.sidecar import collector_of, environment, secrets

TOKENS: Final = ("OUTRIDER_TOKEN", "OUTRIDER_TOKEN_FILE")


def check_execution_role(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Secrets, and on Fargate logs, need an execution role."""
    log = log_configuration(task, options) or {}
    wants_secrets = bool(secrets(options)) or "secretOptions" in log
    logs_on_fargate = log.get("logDriver") == "awslogs" and platform_of(task, options) == "fargate"
    if (
        is_absent(task.get("executionRoleArn"))
        and not options.execution_role_arn
        and (wants_secrets or logs_on_fargate)
    ):
        what = "secrets" if wants_secrets else "the log group"
        says = f"ECS reaches the sidecar's {what} by the execution role, and there is none."
        yield error((), "no-execution-role", says, "Name one (executionRoleArn, or the option execution_role_arn).")
    elif wants_secrets:
        says = "The execution role must be allowed to read the sidecar's secrets; that is not to be seen here."
        remedy = "Allow secretsmanager:GetSecretValue or ssm:GetParameters on them, kms:Decrypt with a key of your own."
        yield note(("executionRoleArn",), "role-reads-secrets", says, remedy)


def check_enrolment(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """What the sidecar is to show the collector is there."""
    if not collector_of(options):
        return
    has_token = any(name in environment(task, options) or name in secrets(options) for name in TOKENS)
    has_role = not is_absent(task.get("taskRoleArn"))
    if not has_token and options.enrol in ("token", "both"):
        says = f"The sidecar is to enrol by {options.enrol}, and no token was named."
        yield error((), "no-token", says, "Name the secret with the bootstrap token (token_secret).")
    elif not has_role and (options.enrol in ("aws", "both") or not has_token):
        on_fargate = platform_of(task, options) == "fargate"
        says = "The sidecar is to enrol by the task's role, and the task has none."
        remedy = "Give the task a role (taskRoleArn), with whatever rights or none, or name a token (token_secret)."
        yield (error if on_fargate else warning)((), "no-task-role", says, remedy)
    if options.enrol == "auto" and has_token and has_role:
        says = "The sidecar shows the token and the task's role; the collector decides which of them it wants."
        yield note((), "enrolment", says, "Set the collector's `enrolment` to both (SECURITY.md).")
    for name, arn in secrets(options).items():
        if isinstance(arn, str) and not arn.startswith("arn:") and "${" not in arn:
            # The value is not repeated: it may be the secret itself.
            says = f"What was given for {name} is no ARN: ECS takes it for a parameter's name, and shows it to all."
            yield warning((), "no-arn", says, "Give the ARN of a secret or parameter, never its value.")
    if "OUTRIDER_TOKEN" in environment(task, options):
        says = "The token stands in the definition, where everybody who may describe it can read it."
        yield warning((), "token-in-the-open", says, "Keep it in a secret (token_secret).")
