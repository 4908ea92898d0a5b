"""`Outrider`: guards one task definition, or all of an app."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from aws_cdk import Annotations, Aspects
from aws_cdk import aws_ecs as ecs
from constructs import Construct, IConstruct

from outrider_cdk.constructs.aspect import PRIORITY, GuardAspect, GuardedOne
from outrider_cdk.constructs.choices import Choices, Image, Secret
from outrider_cdk.constructs.definition import construct_of
from outrider_cdk.constructs.guarding import GUARDS, Guard
from outrider_cdk.rewriting.options import Enrolment, Platform

if TYPE_CHECKING:
    from aws_cdk import aws_logs as logs

    from outrider_cdk.constructs.collector.construct import OutriderCollector

IMPORTED = (
    "Outrider: this task definition was made elsewhere and is only referred to: it is not guarded. Guard it where it is"
    " made, or with `outrider inject`. [imported]"
)


class Outrider:
    """Guards task definitions. What cannot be guarded is an error at the construct; what is worth less, a warning."""

    @staticmethod
    def guard(
        task_definition: ecs.ITaskDefinition | ecs.CfnTaskDefinition,
        *,
        image: Image,
        image_arm64: Image | None = None,
        collector: "OutriderCollector | None" = None,
        collector_url: str = "",
        token: "Secret | None" = None,
        enrol: Enrolment = "auto",
        platform: Platform = "auto",
        memory_mib: int = 128,
        memory_reservation_mib: int = 64,
        cpu: int | None = None,
        essential: bool = False,
        depends_on: bool = False,
        log_group: "logs.ILogGroup | None" = None,
        settings: Mapping[str, str] | None = None,
        secrets: "Mapping[str, Secret] | None" = None,
        stop_timeout_s: int = 30,
        container_name: str = "outrider",
        volume_name: str = "outrider-journal",
        accept: Collection[str] = (),
    ) -> Guard | None:
        """Guard one task definition; containers that are added to it later are seen, too.

        :param task_definition: Any that this app makes. One that was made elsewhere is an error, and None comes back.
        :param image: The sidecar's, for x86-64: a name, or an image of CDK's own, such as
            `ecs.ContainerImage.from_asset(CHECKOUT, target="sidecar")`.
        :param image_arm64: For tasks on ARM64; the same where it is a manifest of both.
        :param collector: Where findings go, and what to enrol with.
        :param collector_url: Instead of `collector`: an address, such as `https://outrider.example.com`.
        :param token: The bootstrap token; by default the collector's, where it takes tokens.
        :param enrol: What the sidecar shows the collector: `auto`, `token`, `aws` (the task's role) or `both`.
        :param platform: Where the task runs; `auto` reads it off the definition.
        :param memory_mib: The sidecar's limit.
        :param memory_reservation_mib: What it takes of the task's memory when ECS reckons up.
        :param cpu: Its share, in 1024ths of a vCPU; None takes a little of what the others leave.
        :param essential: Whether the task ends when the sidecar does.
        :param depends_on: Whether the other containers start after it.
        :param log_group: Where its own log goes; by default where the app's goes, or to a group of its own.
        :param settings: More of its settings, by their names in docs/settings.md.
        :param secrets: Settings whose values are secrets.
        :param stop_timeout_s: How long it may take to end.
        :param container_name: Its name in the task.
        :param volume_name: The name of its journal's volume.
        :param accept: Codes of errors that are known and accepted: they become warnings.

        Raises ValueError where the choices do not go together, or the definition has a guard already.
        """
        arguments: dict[str, Any] = dict(locals())
        choices = _choices(arguments, but="task_definition")
        resource = _resource_of(task_definition)
        if resource is None:
            Annotations.of(task_definition).add_error(IMPORTED)
            return None
        construct = task_definition if isinstance(task_definition, ecs.TaskDefinition) else construct_of(resource)
        home = construct or resource
        if home in GUARDS:
            raise ValueError(f"{home.node.path} has a guard already")
        made = Guard(resource, construct, choices)
        Aspects.of(resource).add(GuardedOne(made), priority=PRIORITY)
        return made

    @staticmethod
    def guard_all(
        scope: IConstruct,
        *,
        image: Image,
        include: Mapping[str, str] | None = None,
        exclude: Mapping[str, str] | None = None,
        image_arm64: Image | None = None,
        collector: "OutriderCollector | None" = None,
        collector_url: str = "",
        token: "Secret | None" = None,
        enrol: Enrolment = "auto",
        platform: Platform = "auto",
        memory_mib: int = 128,
        memory_reservation_mib: int = 64,
        cpu: int | None = None,
        essential: bool = False,
        depends_on: bool = False,
        log_group: "logs.ILogGroup | None" = None,
        settings: Mapping[str, str] | None = None,
        secrets: "Mapping[str, Secret] | None" = None,
        stop_timeout_s: int = 30,
        container_name: str = "outrider",
        volume_name: str = "outrider-journal",
        accept: Collection[str] = (),
    ) -> GuardAspect:
        """Guard every task definition of an app, a stack or any other construct, whoever makes it.

        :param scope: Below what.
        :param include: Tags that a definition must have; by default none.
        :param exclude: Tags of which one is enough to leave a definition alone; by default `OutriderManaged=false`.

        The others are those of `guard`. A definition with a guard of its own keeps that.
        """
        arguments: dict[str, Any] = dict(locals())
        for own in ("include", "exclude"):
            del arguments[own]
        made = GuardAspect(_choices(arguments, but="scope"), include=include, exclude=exclude)
        Aspects.of(scope).add(made, priority=PRIORITY)
        return made


def _choices(arguments: dict[str, Any], *, but: str) -> Choices:
    """The choices among a method's arguments."""
    kept = {name: value for name, value in arguments.items() if name != but}
    return Choices(**{**kept, "settings": kept["settings"] or {}, "secrets": kept["secrets"] or {}})


def _resource_of(definition: Construct | ecs.ITaskDefinition | ecs.CfnTaskDefinition) -> ecs.CfnTaskDefinition | None:
    """The resource in the template; None where this app makes none."""
    if isinstance(definition, ecs.CfnTaskDefinition):
        return definition
    child = definition.node.default_child
    return child if isinstance(child, ecs.CfnTaskDefinition) else None
