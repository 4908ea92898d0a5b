"""What Fargate does not take, and nobody says before ECS refuses the definition: neither CDK nor cfn-lint does."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Path, Problem, error
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text

GRANTED: Final = "SYS_PTRACE"
"""The one capability that Fargate adds (ECS API reference, KernelCapabilities)."""


def check_fargate(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Capabilities and privileged containers in a task on Fargate; the rewriter itself looks at pidMode."""
    if platform_of(task, options) != "fargate":
        return
    for index, container in others_of(task):
        at = ("containerDefinitions", index)
        if container.get("privileged") is True:
            yield _refused((*at, "privileged"), "privileged containers")
        capabilities = as_object(as_object(container.get("linuxParameters")).get("capabilities"))
        for place, name in enumerate(as_list(capabilities.get("add"))):
            if as_text(name) not in ("", GRANTED):
                yield _refused((*at, "linuxParameters", "capabilities", "add", place), f"the capability {name}")


def _refused(path: Path, what: str) -> Problem:
    says = f"Fargate does not take {what}: ECS will refuse the definition."
    return error(path, "not-on-fargate", says, "Take it out, or use EC2.")
