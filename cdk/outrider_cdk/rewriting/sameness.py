"""Whether two container definitions say the same, however ECS has written one of them down.

DescribeTaskDefinition adds empty lists and zeros, and promises no order among environment variables and secrets.
"""

from collections.abc import Mapping
from typing import Any, Final

_BY_NAME: Final = ("environment", "secrets")


def says_the_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether ECS would run the same container for both."""
    return _plain(one) == _plain(other)


def _plain(container: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something, those that have no order sorted."""
    return {
        key: _sorted(value) if key in _BY_NAME else value
        for key, value in container.items()
        if not (isinstance(value, list | dict) and not value) and not (key == "cpu" and value == 0)
    }


def _sorted(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return value
    return sorted(value, key=lambda entry: str(entry.get("name")))
