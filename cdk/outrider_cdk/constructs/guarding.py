"""`Guard`: what guarding a task definition adds to an app: rights, perhaps a log group, the sidecar, what to say."""

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import Annotations, RemovalPolicy, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs

from constructs import Construct
from outrider_cdk.constructs.choices import Choices, Image, Secret, arn_of
from outrider_cdk.constructs.definition import Moment, Tokens, change, construct_of
from outrider_cdk.constructs.fargate import check_fargate
from outrider_cdk.rewriting import AwsLogs, GuardOptions, Problem, guard, show_path
from outrider_cdk.rewriting.options import Logging
from outrider_cdk.rewriting.ours import find_sidecar

NAME: Final = "OutriderGuard"
LOG: Final = "OutriderLog"
ROLE_TO_COME: Final = {"Ref": "ExecutionRole"}
"""Stands for the execution role that a construct makes once it is needed; nothing is written with it."""
SEEN_TO: Final = ("platform-version", "ecs-exec", "role-reads-secrets")
KNOWN: Final = ("enrolment", "reachability")
"""Notes that a collector of the same app answers."""
NO_ROLE: Final = (
    "Outrider: the definition is no construct of aws_ecs, so its execution role cannot be given its rights:"
    " it must be allowed to read the secrets, and to write to the log group."
)


class Guard(Construct):
    """One guarded task definition. It does its work when the app is synthesised, after all aspects.

    `problems` and `sidecar` are known from then on; `log_group` is the one that it made, where it made one.
    """

    def __init__(self, definition: ecs.CfnTaskDefinition, choices: Choices) -> None:
        """Put it beside the resource, under the construct that made it, if any."""
        self.construct = construct_of(definition)
        super().__init__(self.construct or definition, NAME)
        self.definition = definition
        self.choices = choices
        self.problems: tuple[Problem, ...] = ()
        self.sidecar: Mapping[str, Any] = {}
        self.log_group = choices.log_group
        self._image = self._image_arm64 = ""

    def prepare(self) -> None:
        """What must be there before CDK resolves anything: rights, a log group, names of images. Once."""
        if self._image:
            return
        self._image = self._name_of(self.choices.image)
        self._image_arm64 = self._name_of(self.choices.image_arm64) if self.choices.image_arm64 else ""
        if self.log_group is None and self.construct is not None and not _logs_somewhere(self.construct):
            self.log_group = log_group_of(Stack.of(self))
        self._grant()
        Moment(self.definition, self._guard)

    def _guard(self, before: Mapping[str, Any]) -> None:
        """Judge the definition, say what is to be said, and guard it unless something forbids it."""
        tokens = Tokens(Stack.of(self))
        tokens.remember_logging(before, self.construct)
        options = self._options(tokens)
        if self.construct is not None:
            before = {"executionRoleArn": ROLE_TO_COME, **before}
        rewritten = guard(before, options)
        judged = (*rewritten.problems, *check_fargate(before, options))
        self.problems = tuple(each for each in judged if not self._answers(each))
        for problem in self.problems:
            annotate(self.construct or self.definition, problem)
        if rewritten.refused:
            return
        found = find_sidecar(rewritten.definition)
        self.sidecar = found[1] if found is not None else {}
        change(self.definition, before, rewritten.edits, tokens)

    def _answers(self, problem: Problem) -> bool:
        """Whether a note asks for what the construct sees to, or looks at in the services."""
        code = problem.code
        return problem.severity == "note" and (
            code in SEEN_TO or (code in KNOWN and self.choices.collector is not None)
        )

    def _options(self, tokens: Tokens) -> GuardOptions:
        choices = self.choices
        token = choices.enrolment_token
        return GuardOptions(
            image=tokens.resolve(self._image),
            image_arm64=tokens.resolve(self._image_arm64),
            collector_url=tokens.resolve(choices.url),
            token_secret=tokens.resolve(arn_of(token)) if token is not None else "",
            log=self._log(tokens),
            settings={name: tokens.resolve(value) for name, value in choices.settings.items()},
            secrets={name: tokens.resolve(arn_of(secret)) for name, secret in choices.secrets.items()},
            **choices.plain(),
        )

    def _log(self, tokens: Tokens) -> Logging:
        """To the group that was given or made, else where the app's goes."""
        if self.log_group is None:
            return "same"
        region = Stack.of(self.log_group).region
        return AwsLogs(group=tokens.resolve(self.log_group.log_group_name), region=tokens.resolve(region))

    def _name_of(self, image: Image) -> str:
        """The image's name; images of CDK's own give the task the right to pull them."""
        if isinstance(image, str):
            return image
        container = self.construct.default_container if self.construct is not None else None
        if container is None:
            raise ValueError(f"{self.node.path}: only a definition with a container can take an image of CDK's own")
        return image.bind(self, container).image_name

    def _grant(self) -> None:
        """What ECS needs to start the sidecar, for the execution role; the task role gets nothing."""
        secrets: list[Secret] = list(self.choices.secrets.values())
        if self.choices.enrolment_token is not None:
            secrets.append(self.choices.enrolment_token)
        if self.construct is None:
            if secrets or self.log_group is not None:
                Annotations.of(self.definition).add_warning_v2("outrider:execution-role", NO_ROLE)
            return
        role = self.construct.obtain_execution_role()
        for secret in secrets:
            secret.grant_read(role)  # reads this one secret, to put it into the sidecar's environment
        if self.log_group is not None:
            self.log_group.grant_write(role)  # opens streams in this one group, and writes to them


def _logs_somewhere(construct: ecs.TaskDefinition) -> bool:
    """Whether one of its containers has a log that the sidecar can share."""
    return any(container.log_driver_config is not None for container in construct._containers)


def log_group_of(stack: Stack) -> logs.ILogGroup:
    """The group for sidecars of tasks that log nowhere: one for each stack."""
    found = stack.node.try_find_child(LOG)
    if isinstance(found, logs.LogGroup):
        return found
    return logs.LogGroup(stack, LOG, retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY)


def annotate(construct: Construct, problem: Problem) -> None:
    """Say it at the construct: an error stops the deployment."""
    text = f"Outrider: {show_path(problem.path)}: {problem.says} {problem.remedy} [{problem.code}]"
    notes = Annotations.of(construct)
    match problem.severity:
        case "error":
            notes.add_error(text)
        case "warning":
            notes.add_warning_v2(f"outrider:{problem.code}", text)
        case "note":
            notes.add_info_v2(f"outrider:{problem.code}", text)
