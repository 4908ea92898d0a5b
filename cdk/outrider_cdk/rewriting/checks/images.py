"""Names of images, as far as they say whose image it is.

In templates a name is often put together by a function (`!Sub "${Registry}/linuxserver/nginx:${Tag}"`). What stands
there literally is read; what is filled in at deployment is not known, and matches no letter of any known image.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from outrider_cdk.rewriting.shapes import as_object

UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands in a name for a part that is known at deployment only."""
_PLAIN: Final = "-"
"""Stands for what a pseudo parameter gives: never a slash, so that it is no part of whose image it is."""
_PSEUDO: Final = "AWS::"
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
_OWN_REGISTRY: Final = ".dkr.ecr."
"""In the address of every private registry of an account."""


def repository_of(container: Mapping[str, Any]) -> str:
    """The image's registry and repository, without tag and digest, in small letters; empty where it is not known.

    A part that is not known is UNKNOWN.
    """
    name = _text(container.get("image")).partition("@")[0]
    folder, slash, last = name.rpartition("/")
    found = f"{folder}{slash}{last.partition(':')[0]}".lower()
    return found if found.strip(UNKNOWN) else ""


def is_certain(container: Mapping[str, Any]) -> bool:
    """Whether the repository's own name is known, so that an image which is not matched is none of those known.

    An unknown registry of the account's own is no matter: it is a part of an address that has a name behind it.
    """
    name = repository_of(container)
    host, _, rest = name.partition("/")
    path = rest if _OWN_REGISTRY in host else name
    return bool(path) and UNKNOWN not in path


def is_own(container: Mapping[str, Any]) -> bool:
    """Whether the image comes from a private registry of an account, whatever it is called there."""
    return _OWN_REGISTRY in repository_of(container).partition("/")[0]


def _text(value: Any) -> str:
    """What is known of a name. Any: it may be anything."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        return ""
    ((function, argument),) = value.items()
    match function:
        case "Fn::Sub":
            return _substituted(argument)
        case "Fn::Join":
            return _joined(argument)
        case "Ref":
            return _PLAIN if isinstance(argument, str) and argument.startswith(_PSEUDO) else UNKNOWN
    return UNKNOWN


def _substituted(argument: Any) -> str:
    """The text of `Fn::Sub`, with the variables of its own where they are given."""
    text, given = argument if isinstance(argument, list) and len(argument) == 2 else (argument, {})
    if not isinstance(text, str):
        return UNKNOWN

    def fill(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name.startswith("!"):
            return f"${{{name[1:]}}}"  # `${!x}` is `${x}`, literally
        if name in as_object(given):
            return _text(as_object(given)[name]) or UNKNOWN
        return _PLAIN if name.startswith(_PSEUDO) else UNKNOWN

    return _PLACEHOLDER.sub(fill, text)


def _joined(argument: Any) -> str:
    """The parts of `Fn::Join`, with what is between them."""
    if not isinstance(argument, list) or len(argument) != 2:
        return UNKNOWN
    between, parts = argument
    if not isinstance(between, str) or not isinstance(parts, list):
        return UNKNOWN
    return between.join(_text(part) or UNKNOWN for part in parts)
