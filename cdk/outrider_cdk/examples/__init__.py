"""The examples under task-defs/: each definition before and after, and with which options it was guarded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outrider_cdk.daemon import COLLECTOR_URL, IMAGE, TOKEN_ARN
from outrider_cdk.examples import definitions
from outrider_cdk.examples.terraform import resource
from outrider_cdk.rewriting import AwsLogs, GuardOptions, Rewritten, guard

OPTIONS: Final = GuardOptions(image=IMAGE, image_arm64=IMAGE, collector_url=COLLECTOR_URL, token_secret=TOKEN_ARN)
"""What most people need to say, and no more."""


@dataclass(frozen=True)
class Example:
    """A definition as it was, and how it was guarded."""

    before: Mapping[str, Any]
    options: GuardOptions = OPTIONS

    def guarded(self) -> Rewritten:
        """What the rewriter makes of it."""
        return guard(self.before, self.options)


EXAMPLES: Final[Mapping[str, Example]] = {
    "web-service": Example(definitions.WEB_SERVICE, replace(OPTIONS, enrol="both")),
    "worker": Example(definitions.WORKER, replace(OPTIONS, token_secret="", enrol="aws", depends_on=True)),
    "multi-container": Example(definitions.MULTI_CONTAINER),
    "firelens": Example(definitions.FIRELENS),
    "ec2-bridge": Example(definitions.EC2_BRIDGE),
    "ec2-daemon": Example(definitions.EC2_DAEMON, replace(OPTIONS, log=AwsLogs(group="/outrider", region="REGION"))),
    "managed-instances": Example(definitions.MANAGED_INSTANCES),
}
"""By the name of the file."""

_VARIABLES: Final = """\
variable "outrider_image" { type = string }
variable "outrider_collector" { type = string }
variable "outrider_token" { type = string } # ARN of the secret with the bootstrap token

"""


def terraform(*, guarded: bool) -> str:
    """The web service in Terraform's language."""
    if not guarded:
        return resource(definitions.WEB_SERVICE, "web")
    options = GuardOptions(
        image={"Ref": "var.outrider_image"},
        collector_url={"Ref": "var.outrider_collector"},
        token_secret={"Ref": "var.outrider_token"},
    )
    return _VARIABLES + resource(guard(definitions.WEB_SERVICE, options).definition, "web")
