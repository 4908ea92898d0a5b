"""Where a task is to run, and how large it is."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.shapes import as_list, as_number

Kind = Literal["fargate", "ec2", "managed_instances"]

_NAMES: Final[tuple[tuple[str, Kind], ...]] = (
    ("FARGATE", "fargate"),
    ("MANAGED_INSTANCES", "managed_instances"),
    ("EC2", "ec2"),
    ("EXTERNAL", "ec2"),
)
"""The strictest first: a definition for several of them must do for each."""

_CPU: Final = re.compile(r"(\d{0,6}(?:\.\d{1,6})?) ?vcpu", re.IGNORECASE)
_MEMORY: Final = re.compile(r"(\d{0,6}(?:\.\d{1,6})?) ?gb", re.IGNORECASE)


def platform_of(task: Mapping[str, Any], options: GuardOptions) -> Kind:
    """Where it runs: what the options say, else `requiresCompatibilities`, else what its other fields look like."""
    if options.platform != "auto":
        return options.platform
    wanted = as_list(task.get("requiresCompatibilities"))
    named = next((kind for name, kind in _NAMES if name in wanted), None)
    if named is not None:
        return named
    sized = task.get("cpu") is not None and task.get("memory") is not None
    return "fargate" if sized and task.get("networkMode") == "awsvpc" else "ec2"


def cpu_units(task: Mapping[str, Any]) -> int | None:
    """The task's CPU in 1024ths of a vCPU, from `1024` or `1 vCPU`; None where it has none or it is not known yet."""
    return _measure(task.get("cpu"), _CPU)


def memory_mib(task: Mapping[str, Any]) -> int | None:
    """The task's memory in MiB, from `2048` or `2 GB`; None where it has none or it is not known yet."""
    return _measure(task.get("memory"), _MEMORY)


def _measure(value: Any, in_thousands: re.Pattern[str]) -> int | None:
    number = as_number(value)
    if number is not None or not isinstance(value, str):
        return number
    match = in_thousands.fullmatch(value.strip())
    return round(float(match[1]) * 1024) if match and match[1].strip(".") else None
