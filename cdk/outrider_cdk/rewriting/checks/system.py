"""The operating system and the processor: Linux, and one that there is an image for."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.problems import Problem
from outrider_cdk.rewriting.shapes import as_object, as_text
from outrider_cdk.rewriting.sidecar import image_for, is_arm


def check_system(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """No Windows; no ARM64 without an image for it."""
    platform = as_object(task.get("runtimePlatform"))
    family = as_text(platform.get("operatingSystemFamily"))
    if family.upper().startswith("WINDOWS"):
        yield Problem(
            path=("runtimePlatform", "operatingSystemFamily"),
            code="windows",
            severity="error",
            says="Outrider guards Linux containers only.",
            remedy="Leave this task out.",
        )
    elif is_arm(task) and not image_for(task, options):
        yield Problem(
            path=("runtimePlatform", "cpuArchitecture"),
            code="arm-image",
            severity="error",
            says="The task runs on ARM64, and no image of the sidecar for ARM64 was named.",
            remedy="Name one (image_arm64): the same as for x86-64 where that is a manifest of both.",
        )
