"""The options themselves: what is asked for can be had."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem, error, warning
from outrider_cdk.rewriting.settings import NAMES, nearest

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
LEAST_MEMORY_MIB: Final = 6
"""Docker takes no container with less."""
ENOUGH_MEMORY_MIB: Final = 128
"""Idle the sidecar takes 41 MiB (bench/RESULTS.md), and while threat lists are exchanged up to 64 more."""
STOP_TIMEOUT_S: Final = range(6, 121)
"""Guarding ends five seconds before; Fargate waits for two minutes at most."""

_DECIDED: Final[Mapping[str, str]] = {
    "mode": "Leave it out.",
    "journal_dir": "Leave it out: the root is read-only, and the journal has the volume.",
}
"""Settings that would part the sidecar from its container."""
_IMAGE: Final = re.compile(r"[\w.:/@$[\]{}-]*[\w}]", re.ASCII)
"""Letters of an image's name; the rest is for the registry to know."""


def check_settings(_task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Settings that the sidecar knows, each given once."""
    for name in (*options.settings, *options.secrets):
        if name not in NAMES:
            meant = nearest(name)
            remedy = f"Did you mean {meant}?" if meant else "Look it up in docs/settings.md."
            yield error((), "unknown-setting", f"The sidecar has no setting {name!r}.", remedy)
    for name, instead in _DECIDED.items():
        if name in (*options.settings, *options.secrets):
            says = f"The setting {name} is decided by what is put into the definition, and cannot be given."
            yield error((), "bad-option", says, instead)
    for name in sorted(set(options.settings) & set(options.secrets)):
        yield error((), "setting-twice", f"{name} is given as a setting and as a secret.", "Give it once.")
    if options.token_secret and "token" in (*options.settings, *options.secrets):
        yield error((), "setting-twice", "The token is given twice.", "Give it as token_secret alone.")


def check_options(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Figures and names that ECS takes."""
    if not options.image and not options.image_arm64:
        yield error((), "no-image", "The sidecar's image was not named.", "Name it (image).")
    for image in (options.image, options.image_arm64):
        if isinstance(image, str) and image and (not _IMAGE.fullmatch(image) or "://" in image):
            says = f"{image!r} is no name of an image."
            yield error((), "bad-option", says, "Write REGISTRY/NAME:TAG, without https://.")
    for what, name in (("container_name", options.container_name), ("volume_name", options.volume_name)):
        if not _NAME.fullmatch(name):
            yield error((), "bad-option", f"ECS does not take {name!r} ({what}).", "Use letters, digits, - and _.")
    if not LEAST_MEMORY_MIB <= options.memory_reservation_mib < options.memory_mib:
        says = "The reservation is to be at least 6 MiB and below the limit (memory_reservation_mib, memory_mib)."
        yield error((), "bad-option", says, "Leave both out, or give fitting ones.")
    elif options.memory_mib < ENOUGH_MEMORY_MIB:
        says = f"With {options.memory_mib} MiB (memory_mib) the kernel may end a process of the sidecar under load."
        yield warning((), "little-memory", says, "Give it 128, or take no threat lists (setting lists_limit_bytes: 0).")
    if options.cpu is not None and options.cpu < 0:
        yield error((), "bad-option", "The sidecar's share of the CPU is below nothing (cpu).", "Leave it out.")
    if options.stop_timeout_s not in STOP_TIMEOUT_S and platform_of(task, options) == "fargate":
        says = (
            f"Fargate takes no stopTimeout of {options.stop_timeout_s} s that the sidecar could use (stop_timeout_s)."
        )
        yield error((), "bad-option", says, "Give 6 to 120 seconds.")
    if options.essential:
        says = "The sidecar is essential: when it ends, the task ends."
        yield warning((), "essential", says, "Leave it out (essential) unless an unguarded task is worse than none.")
