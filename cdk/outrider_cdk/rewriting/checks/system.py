"""The operating system and the processor: Linux, and one that there is an image for."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.checks.elsewhere import EXTERNAL
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem, error, note, warning
from outrider_cdk.rewriting.shapes import as_list, as_object, as_text, is_absent, is_intrinsic
from outrider_cdk.rewriting.sidecar import image_for, is_arm


def check_system(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """No Windows; no ARM64 without an image for it."""
    platform = as_object(task.get("runtimePlatform"))
    family, processor = platform.get("operatingSystemFamily"), platform.get("cpuArchitecture")
    if as_text(family).upper().startswith("WINDOWS"):
        says = "Outrider guards Linux containers only."
        yield error(("runtimePlatform", "operatingSystemFamily"), "windows", says, "Leave this task out.")
    elif is_arm(task) and not image_for(task, options):
        says = "The task runs on ARM64, and no image of the sidecar for ARM64 was named."
        remedy = "Name one (image_arm64): the same as for x86-64 where that is a manifest of both."
        yield error(("runtimePlatform", "cpuArchitecture"), "arm-image", says, remedy)
    elif is_intrinsic(processor) and options.image != options.image_arm64:
        says = "The processor is known at deployment only; the sidecar's image is the one for x86-64."
        remedy = "Name an image of both (image and image_arm64 alike), or write the processor out."
        yield warning(("runtimePlatform", "cpuArchitecture"), "arm-unknown", says, remedy)
    elif is_absent(processor) and platform_of(task, options) != "fargate" and options.image != options.image_arm64:
        says = "No processor is named, so that the task may be placed on ARM64; the sidecar's image is for x86-64."
        remedy = "Name an image of both (image and image_arm64 alike), or the processor (runtimePlatform)."
        yield note((), "arm-unknown", says, remedy)


def check_platform(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """What is known of the places where tasks run."""
    path = ("requiresCompatibilities",) if "requiresCompatibilities" in task else ()
    kind = platform_of(task, options)
    if kind == "fargate":
        says = "pidMode task needs Fargate's platform version 1.4.0 or later, which the service or RunTask names."
        yield note((), "platform-version", says, "Leave platformVersion out there, or write LATEST or 1.4.0.")
    elif kind == "managed_instances":
        says = "A sidecar on Managed Instances has not been tried: their SELinux policy may hide the others' files."
        remedy = "Look at `outrider doctor` in the sidecar, or guard them by a Managed Daemon (docs/ec2.md)."
        yield warning(path, "managed-instances", says, remedy)
    elif "EXTERNAL" in as_list(task.get("requiresCompatibilities")):
        yield warning(path, "external", EXTERNAL, "Look at `outrider doctor` in the sidecar.")
    else:
        says = "On EC2 one daemon guards a machine's tasks without any change to them."
        yield note(path, "ec2-daemon", says, "See docs/ec2.md; do not guard a task by both.")
        says = "A restart policy needs version 1.86.0 of the ECS agent, and the task is placed only where that is."
        yield note(path, "agent-version", says, "Update the machines' ECS agent if it is older.")
