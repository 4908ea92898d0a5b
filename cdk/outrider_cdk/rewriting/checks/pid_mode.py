"""pidMode: the sidecar sees the processes of the others through a PID namespace that all of them share."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem
from outrider_cdk.rewriting.shapes import is_absent


def check_pid_mode(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Absent or `task`; `host` on EC2, where it is kept."""
    mode = task.get("pidMode")
    if is_absent(mode) or mode == "task":
        return
    if mode == "host" and platform_of(task, options) != "fargate":
        return
    yield Problem(
        path=("pidMode",),
        code="pid-mode",
        severity="error",
        says="Fargate does not take pidMode host."
        if mode == "host"
        else "It cannot be told that pidMode will be task.",
        remedy="Write pidMode: task, or leave it out.",
    )
