"""What may forbid guarding a definition, or make it worth less than one may think: one readable table."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from outrider_cdk.rewriting.checks import containers, pid_mode, system
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.problems import Problem

Check = Callable[[Mapping[str, Any], GuardOptions], Iterator[Problem]]
"""A definition and what is wanted, to what is to be said. Paths are from the definition's root."""

CHECKS: Final[tuple[Check, ...]] = (
    containers.check_containers,
    containers.check_names,
    pid_mode.check_pid_mode,
    system.check_system,
)


def check(task: Mapping[str, Any], options: GuardOptions) -> list[Problem]:
    """Everything that is to be said, in the order of the table."""
    return [problem for one in CHECKS for problem in one(task, options)]
