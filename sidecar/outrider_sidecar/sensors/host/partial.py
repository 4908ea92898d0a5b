"""Which mounts of a container are not watched, as the text of a FilesWatched, and back. Pure.

The event says so in words, and the engine must know for which directories its silence is no proof.
"""

from collections.abc import Mapping
from typing import Final

from outrider_wire.text import clean_text

_BEGIN: Final = "not below "
_BETWEEN: Final = "; not below "
_WHY: Final = " ("


def say_unwatched(mounts: Mapping[bytes, str]) -> str:
    """Names of mount points, each with the reason; empty for none."""
    said = [f"{clean_text(at)}{_WHY}{why})" for at, why in mounts.items()]
    return _BEGIN + _BETWEEN.join(said) if said else ""


def read_unwatched(reason: str) -> tuple[str, ...]:
    """The mount points that a reason names."""
    if not reason.startswith(_BEGIN):
        return ()
    return tuple(part.rpartition(_WHY)[0] for part in reason[len(_BEGIN) :].split(_BETWEEN))
