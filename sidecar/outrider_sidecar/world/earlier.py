"""What files were before: sizes and modes as last told, so that a change can be named more exactly.

The watch says that a file was written or its attributes changed, not how. Against what it was before, a file that
shrank was truncated, and attributes whose mode is the same were no chmod(2).
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from outrider_wire.events import FileChanged, FileFacts

MAX_FILES: Final = 8_192
"""Most files remembered; the ones told of longest ago go first."""


class Before(Struct, frozen=True, gc=False):
    """A file as it was last told of; `mode` 0 where it was never."""

    size: int = 0
    mode: int = 0


NOTHING: Final = Before()


class EarlierFiles:
    """The last known size and mode of files, by container and path."""

    def __init__(self, *, limit: int = MAX_FILES) -> None:
        self._limit = limit
        self._known: OrderedDict[tuple[int, str], Before] = OrderedDict()
        self._latest: tuple[FileFacts | None, Before] = (None, NOTHING)

    def note(self, event: FileChanged) -> None:
        """Take in a change; until the next one, `of` answers what its file was before."""
        key = (event.mnt_ns, event.file.path)
        before = self._known.pop(key, NOTHING)
        self._latest = (event.file, before)
        if event.change not in ("deleted", "moved_out") and event.file.mode:
            self._known[key] = Before(event.file.size, event.file.mode)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)

    def of(self, event: FileChanged) -> Before:
        """What the file of the change taken in last was before it."""
        file, before = self._latest
        return before if file is event.file else NOTHING
