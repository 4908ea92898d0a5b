"""What somebody who guards a task definition decides; everything but the image has a default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

VERSION: Final = "0.1.0"
"""Of the rewriter, written into the sidecar's labels."""

Text = str | Mapping[str, Any]
"""A string, or an object that becomes one when the template is deployed, such as `{"Ref": "Image"}`."""

Platform = Literal["auto", "fargate", "ec2", "managed_instances"]
Enrolment = Literal["auto", "token", "aws", "both"]


@dataclass(frozen=True, kw_only=True)
class AwsLogs:
    """The sidecar's log goes to CloudWatch Logs."""

    group: Text
    """The log group; it must exist, or `create_group` be set."""
    region: Text
    """Such as `eu-west-1`."""
    prefix: str = "outrider"
    """What the stream's name begins with; Fargate wants one."""
    create_group: bool = False
    """Let ECS make the group: the execution role then needs logs:CreateLogGroup."""


@dataclass(frozen=True, kw_only=True)
class FireLens:
    """The sidecar's log goes to the log router that the task has."""

    options: Mapping[str, Text] = field(default_factory=dict)
    """Options of the output, such as `{"Name": "cloudwatch_logs", …}`; empty leaves the routing to the router."""
    secrets: Mapping[str, Text] = field(default_factory=dict)
    """Options whose values are secrets: ARNs."""


SameAsApp = Literal["same"]
Logging = AwsLogs | FireLens | SameAsApp


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """How a task definition is to be guarded. Sizes in MiB, times in seconds, CPU in 1024ths of a vCPU."""

    image: Text
    """The sidecar's image, for x86-64."""
    image_arm64: Text = ""
    """The image for tasks on ARM64: the same as `image` where that is a manifest of both. Empty refuses such tasks."""
    collector_url: Text = ""
    """Where findings go; empty keeps them in the task's journal, which ends with the task."""
    token_secret: Text = ""
    """ARN of the Secrets Manager secret or SSM parameter with the bootstrap token; empty enrols by the task's role."""
    enrol: Enrolment = "auto"
    """The sidecar's setting `enrol`: what it shows the collector."""
    platform: Platform = "auto"
    """Where the task runs; `auto` reads it off `requiresCompatibilities`."""
    memory_mib: int = 128
    """The sidecar's limit: past it the kernel ends one of its processes."""
    memory_reservation_mib: int = 64
    """What the sidecar takes of the task's memory when ECS reckons up its containers."""
    cpu: int | None = None
    """The sidecar's share; None takes up to 64 of what the others leave, and none where they reserve none."""
    essential: bool = False
    """Whether the task ends when the sidecar does. True makes a failure of the guard a failure of what it guards."""
    depends_on: bool = False
    """Whether the other containers start after the sidecar: nothing is missed, and nothing starts without it."""
    log: Logging = "same"
    """Where the sidecar's own log goes; `same` takes the driver and the options of the first container that has any."""
    settings: Mapping[str, Text] = field(default_factory=dict)
    """More settings of the sidecar by their names in docs/settings.md, such as `{"release": "/usr/bin/gdb"}`."""
    secrets: Mapping[str, Text] = field(default_factory=dict)
    """Settings whose values are secrets: names as in `settings`, values ARNs."""
    execution_role_arn: Text = ""
    """Put into definitions that have no execution role; empty leaves them without."""
    stop_timeout_s: int = 30
    """How long the sidecar may take to end: it guards until five seconds before."""
    container_name: str = "outrider"
    """The sidecar's name in the task."""
    volume_name: str = "outrider-journal"
    """The name of the journal's volume in the task."""
    accept: frozenset[str] = frozenset()
    """Codes of errors that are known and accepted: they become warnings. See `checks.ACCEPTABLE`."""
    version: str = VERSION
    """What is written into the sidecar's labels, so that a later run knows what it finds."""
