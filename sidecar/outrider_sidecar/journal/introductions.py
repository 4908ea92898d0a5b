"""Introductions: which containers one segment has said the names of already."""

from typing import Final

import msgspec

from outrider_wire.events import ContainerSeen

MAX_INTRODUCED: Final = 1_024
"""Most containers remembered; past it, all are introduced again."""


class Introductions:
    """What stands in the segment that is being written. Belongs to the journal's lock."""

    def __init__(self) -> None:
        self._told: dict[int, ContainerSeen] = {}

    def missing(self, about: ContainerSeen | None) -> list[bytes]:
        """What must be written before an event of that container: nothing, or its introduction, encoded."""
        if about is None or self._told.get(about.mnt_ns) is about:
            return []
        return [msgspec.msgpack.encode(about)]

    def note(self, about: ContainerSeen | None) -> None:
        """It was written."""
        if about is not None:
            if len(self._told) >= MAX_INTRODUCED:
                self._told.clear()
            self._told[about.mnt_ns] = about

    def forget(self) -> None:
        """Another segment begins, in which nothing was said."""
        self._told.clear()
