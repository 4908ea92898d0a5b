"""What the gate did, in a page of memory that outlives it: counts, and whether refusing has ended.

Made before the first fork. Each word has one writer, so a reader sees the old value or the new one; the engine
tells of differences, and a count that a dying gate made is not lost with it.
"""

import mmap
from enum import IntEnum, unique


@unique
class Count(IntEnum):
    """What stands where. The first words are the gate's, the last the engine's."""

    ASKED = 0  # times that the kernel asked
    LET_BE = 1  # files that the kernel was told not to ask about again
    PUT = 2  # questions that were put to the engine
    DENIED = 3  # starts that were refused, or in a dry run would have been
    LATE = 4  # starts that went on because the budget had run out
    CROWDED = 5  # starts that went on because too many were being decided
    DISARMED_NS = 6  # when refusing ended, 0: it has not
    COVERED = 7  # containers that are asked about now
    UNCOVERED = 8  # mounts of them that cannot be asked about
    UNREADABLE = 9  # times that the kernel could not open a file for us, and so refused a start by itself
    TOLD_DENIED = 10  # engine: how many refusals it was told of one by one
    TOLD_LATE = 11  # engine: how many of LATE, CROWDED and UNREADABLE it has told of
    TOLD_DISARMED = 12  # engine: the value of DISARMED_NS that it has told of


class Ledger:
    """The shared words."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._words = memoryview(self._page).cast("Q")

    def __getitem__(self, count: Count) -> int:
        return self._words[count]

    def __setitem__(self, count: Count, value: int) -> None:
        self._words[count] = value

    def add(self, count: Count, number: int = 1) -> None:
        """For the word's one writer alone."""
        self._words[count] += number
