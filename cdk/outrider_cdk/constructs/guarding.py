"""`Guard`: what guarding a task definition adds to an app: rights, perhaps a log group, the sidecar, what to say."""

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import Annotations, RemovalPolicy, Stack
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from outrider_cdk.constructs.choices import Choices, Image, Secret, arn_of
from outrider_cdk.constructs.definition import Json, Moment, Tokens, change
from outrider_cdk.rewriting import AwsLogs, GuardOptions, Problem, guard, show_path
from outrider_cdk.rewriting.options import Logging
from outrider_cdk.rewriting.ours import find_sidecar
from outrider_cdk.rewriting.shapes import as_object

if TYPE_CHECKING:
    from aws_cdk import aws_logs as logs

GUARDS: Final[MutableMapping[Construct, "Guard"]] = {}
"""Guards by the construct of their definition. They live as long as the program, as everything of an app does."""
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


class Guard:
    """One guarded task definition. It does its work when the app is synthesised, after all aspects.

    `problems` and `sidecar` are known from then on; `log_group` is the one that it made, where it made one.
    """

    def __init__(
        self,
        definition: ecs.CfnTaskDefinition,
        construct: ecs.TaskDefinition | None,
        choices: Choices,
        said: set[str] | None = None,
    ) -> None:
        """`said` are the codes of notes that were made already, where several definitions share them."""
        self.construct = construct
        self.definition = definition
        self.home: Construct = self.construct or definition
        self.stack = Stack.of(definition)
        self.choices = choices
        self.problems: tuple[Problem, ...] = ()
        self.sidecar: Mapping[str, Any] = {}
        self.log_group = choices.log_group
        self._said = said if said is not None else set()
        self._image = self._image_arm64 = ""
        self._logs: list[Mapping[str, str] | None] = []
        GUARDS[self.home] = self

    def prepare(self, pid_mode: str | None) -> None:
        """What must be there before CDK resolves anything: rights, a log group, names of images. Once."""
        if self._image:
            return
        self._image = self._name_of(self.choices.image, "OutriderImage")
        if self.choices.image_arm64 is not None:
            self._image_arm64 = self._name_of(self.choices.image_arm64, "OutriderImageArm64")
        if self.log_group is None and self.construct is not None:
            self._logs = logs_of(self.construct)
            if not any(options is not None for options in self._logs):
                self.log_group = log_group_of(self.stack)
        self._grant()
        Moment(self.definition, self.stack, pid_mode, self._guard)

    def _guard(self, before: Json, tokens: Tokens) -> str | None:
        """Judge the definition, say what is to be said, and guard it unless something forbids it; its new PidMode."""
        for container, options in zip(before.get("containerDefinitions", ()), self._logs, strict=False):
            log = as_object(as_object(container).get("logConfiguration"))
            tokens.remember(as_object(log.get("options")), options or {})
        options_ = self._options(tokens)
        known = {"executionRoleArn": ROLE_TO_COME, **before} if self.construct is not None else before
        rewritten = guard(known, options_)
        self.problems = tuple(each for each in rewritten.problems if not self._answers(each))
        for problem in self.problems:
            if problem.severity != "note" or problem.code not in self._said:
                annotate(self.home, problem)
            if problem.severity == "note":
                self._said.add(problem.code)
        if not rewritten.refused:
            found = find_sidecar(rewritten.definition)
            self.sidecar = found[1] if found is not None else {}
            change(self.definition, known, rewritten.edits, tokens)
        return "task" if rewritten.definition.get("pidMode") == "task" else None

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

    def _name_of(self, image: Image, name: str) -> str:
        """The image's name; images of CDK's own give the task the right to pull them."""
        if isinstance(image, str):
            return image
        container = self.construct.default_container if self.construct is not None else None
        if container is None:
            raise ValueError(f"{self.home.node.path}: an image of CDK's own wants a definition with a container")
        return image.bind(Construct(self.home, name), container).image_name

    def _grant(self) -> None:
        """What ECS needs to start the sidecar, for the execution role; the task role gets nothing."""
        secrets: list[Secret] = list(self.choices.secrets.values())
        if self.choices.enrolment_token is not None:
            secrets.append(self.choices.enrolment_token)
        if self.construct is None:
            if secrets or self.log_group is not None:
                Annotations.of(self.definition).add_warning_v2("outrider:execution-role", NO_ROLE)
            return
        if not secrets and self.log_group is None:
            return
        role = self.construct.obtain_execution_role()
        for secret in secrets:
            secret.grant_read(role)  # reads this one secret, to put it into the sidecar's environment
        if self.log_group is not None:
            self.log_group.grant_write(role)  # opens streams in this one group, and writes to them


def logs_of(construct: ecs.TaskDefinition) -> list[Mapping[str, str] | None]:
    """The options of each container's log, with tokens in them; None for a container that has no log."""
    configured = [container.log_driver_config for container in construct._containers]
    return [None if config is None else config.options or {} for config in configured]


def log_group_of(stack: Stack) -> "logs.ILogGroup":
    """The group for sidecars of tasks that log nowhere: one for each stack."""
    from aws_cdk import aws_logs as logs  # seldom needed, and slow to load

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
