"""pidMode: the sidecar sees the processes of the others through a PID namespace that all of them share."""

from collections.abc import Iterator, Mapping
from typing import Any

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import find_sidecar, undo_of
from outrider_cdk.rewriting.platforms import platform_of
from outrider_cdk.rewriting.problems import Problem, error, warning
from outrider_cdk.rewriting.shapes import is_absent, is_intrinsic


def check_pid_mode(task: Mapping[str, Any], options: GuardOptions) -> Iterator[Problem]:
    """Absent or `task`; `host` on EC2, where it is kept."""
    mode = task.get("pidMode")
    if is_absent(mode) or mode == "task":
        return
    if mode == "host" and platform_of(task, options) == "ec2":
        yield warning(
            ("pidMode",),
            "pid-mode-host",
            "pidMode host is kept: the sidecar sees every process of the machine, and guards this family's containers "
            "where the ECS agent names them to it, else all that it cannot name.",
            "Leave pidMode out if the task does without it, or guard the whole machine by one daemon (docs/ec2.md).",
        )
        return
    if is_intrinsic(mode):
        says = "Whether pidMode will be task is known at deployment only; without it the sidecar sees nothing."
    elif mode == "host":
        says = "pidMode host is for EC2 alone; a sidecar here needs task."
    else:
        says = "This is no pidMode."
    yield error(("pidMode",), "pid-mode", says, "Write task, or leave pidMode out: it is put in.")


def becomes_shared(task: Mapping[str, Any]) -> bool:
    """Whether guarding is what puts the containers into one PID namespace: they were in one each before."""
    if is_absent(task.get("pidMode")):
        return True
    found = find_sidecar(task)
    try:
        return found is not None and "pidMode" in undo_of(found[1]).fields
    except ValueError:
        return False
