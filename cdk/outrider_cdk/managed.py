"""The tag that says whether something is to be guarded, wherever something can bear it."""

from collections.abc import Mapping
from typing import Any, Final

MANAGED_TAG: Final = "OutriderManaged"
"""A tag on a cluster, a service or a definition: `true` includes, `false` leaves alone."""


def why_tagged(tags: Any, *, key: str = "key", value: str = "value") -> str:
    """Why a definition's own tags leave it alone; empty where they do not. Any: a document may hold anything there.

    `key` and `value` are the names of a tag's two fields, which CloudFormation writes with capital letters. Only
    what is text or a truth value counts: what a function stands for is known at deployment.
    """
    for tag in tags if isinstance(tags, list) else ():
        if not isinstance(tag, Mapping) or tag.get(key) != MANAGED_TAG or not isinstance(tag.get(value), str | bool):
            continue
        said = str(tag[value]).strip().lower()
        if said == "false":
            return f"tagged {MANAGED_TAG}=false"
        if said not in ("true", ""):
            return f"tagged {MANAGED_TAG}={tag[value]}, which is neither true nor false"
    return ""
