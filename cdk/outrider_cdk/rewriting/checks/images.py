"""Names of images, as far as they say whose image it is."""

from collections.abc import Mapping
from typing import Any

from outrider_cdk.rewriting.shapes import as_text


def repository_of(container: Mapping[str, Any]) -> str:
    """The image's registry and repository, without tag and digest, in small letters; empty where it is not known."""
    name = as_text(container.get("image")).partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}".lower()
