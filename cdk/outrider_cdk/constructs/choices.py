"""How a task definition is to be guarded, in CDK's terms; and the rewriter's options that follow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from aws_cdk import aws_ecs as ecs

from outrider_cdk.rewriting.options import Enrolment, Platform

if TYPE_CHECKING:  # each of these takes a while to load
    from aws_cdk import aws_logs as logs
    from aws_cdk import aws_secretsmanager as secretsmanager
    from aws_cdk import aws_ssm as ssm

    from outrider_cdk.constructs.collector.construct import OutriderCollector

Secret: TypeAlias = "secretsmanager.ISecret | ssm.IStringParameter"
Image: TypeAlias = str | ecs.ContainerImage


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What `Outrider.guard` was told. Sizes in MiB, times in seconds, CPU in 1024ths of a vCPU."""

    image: Image
    image_arm64: Image | None = None
    collector: "OutriderCollector | None" = None
    collector_url: str = ""
    token: "Secret | None" = None
    enrol: Enrolment = "auto"
    platform: Platform = "auto"
    memory_mib: int = 128
    memory_reservation_mib: int = 64
    cpu: int | None = None
    essential: bool = False
    depends_on: bool = False
    log_group: "logs.ILogGroup | None" = None
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    stop_timeout_s: int = 30
    container_name: str = "outrider"
    volume_name: str = "outrider-journal"
    accept: Collection[str] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where two of them say different things."""
        if self.collector is not None and self.collector_url:
            raise ValueError("give collector= or collector_url=, not both")

    @property
    def url(self) -> str:
        """Where findings go."""
        return self.collector.url if self.collector is not None else self.collector_url

    @property
    def enrolment_token(self) -> "Secret | None":
        """The token's secret: the one that was given, else the collector's where it takes tokens."""
        if self.token is not None or self.collector is None or self.enrol == "aws":
            return self.token
        return self.collector.enrolment_token if self.collector.admission.enrolment != "aws" else None

    def plain(self) -> dict[str, Any]:
        """Those of the rewriter's options that are the same here."""
        same = (
            "enrol", "platform", "memory_mib", "memory_reservation_mib", "cpu", "essential", "depends_on",
            "stop_timeout_s", "container_name", "volume_name",
        )  # fmt: skip
        return {name: getattr(self, name) for name in same} | {"accept": frozenset(self.accept)}


def arn_of(secret: Secret) -> str:
    """What ECS is to read."""
    arn = getattr(secret, "secret_arn", None)
    return str(arn) if arn is not None else cast("ssm.IStringParameter", secret).parameter_arn
