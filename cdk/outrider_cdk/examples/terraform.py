"""A task definition in Terraform's language, for its AWS provider's aws_ecs_task_definition."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from outrider_cdk.rewriting.shapes import is_intrinsic

_ATTRIBUTES: Final = (
    ("family", "family"),
    ("requiresCompatibilities", "requires_compatibilities"),
    ("networkMode", "network_mode"),
    ("pidMode", "pid_mode"),
    ("cpu", "cpu"),
    ("memory", "memory"),
    ("executionRoleArn", "execution_role_arn"),
    ("taskRoleArn", "task_role_arn"),
)
"""Names of the API and of the provider; what is not here has a block of its own, or is left out of the example."""

_PLATFORM: Final = (("operatingSystemFamily", "operating_system_family"), ("cpuArchitecture", "cpu_architecture"))
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def resource(definition: Mapping[str, Any], label: str) -> str:
    """The resource block. `{"Ref": "var.image"}` anywhere in the definition is written as that expression."""
    lines = [f'resource "aws_ecs_task_definition" "{label}" {{']
    lines += _assigned([(name, definition[field]) for field, name in _ATTRIBUTES if field in definition], "  ")
    if platform := definition.get("runtimePlatform"):
        known = [(name, platform[field]) for field, name in _PLATFORM if field in platform]
        lines += ["", "  runtime_platform {", *_assigned(known, "    "), "  }"]
    for volume in definition.get("volumes", ()):
        lines += ["", "  volume {", *_assigned([("name", volume["name"])], "    "), "  }"]
    containers = expression(definition["containerDefinitions"], "  ")
    return "\n".join([*lines, "", f"  container_definitions = jsonencode({containers})", "}", ""])


def _assigned(entries: Iterable[tuple[str, Any]], indent: str) -> list[str]:
    """Assignments, with the equal signs of neighbours of one line below each other, as `terraform fmt` has it."""
    lines: list[str] = []
    pairs = [(_key(key), expression(value, indent)) for key, value in entries]
    for short, group in groupby(pairs, key=lambda pair: "\n" not in pair[1]):
        neighbours = list(group)
        width = max(len(key) for key, _ in neighbours) if short else 0
        lines += [f"{indent}{key:<{width}} = {value}" for key, value in neighbours]
    return lines


def expression(value: Any, indent: str = "") -> str:
    """A JSON value as an expression, over several lines where it is a list or an object of several parts."""
    if is_intrinsic(value):
        return str(value["Ref"])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        if not any(isinstance(entry, dict | list) for entry in value):
            return f"[{', '.join(expression(entry) for entry in value)}]"
        inner = "".join(f"{indent}  {expression(entry, indent + '  ')},\n" for entry in value)
        return f"[\n{inner}{indent}]"
    if isinstance(value, dict):
        inner = "\n".join(_assigned(value.items(), indent + "  "))
        return f"{{\n{inner}\n{indent}}}"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if _IDENTIFIER.fullmatch(key) else json.dumps(key)
