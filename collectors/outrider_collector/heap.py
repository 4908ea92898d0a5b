"""The heap: how often Python looks through everything for cycles, while thousands of agents wait for their answers.

Ten thousand connections are a million objects. To look through all of them takes a third of a second in which nobody is
answered, and Python's own thresholds do that every other second while connections come. Next to nothing is found then:
what a request leaves behind goes when it is let go, and so does a connection (`api/connections.py` sees to that). So
what is there at the start is never looked through again, young objects are looked through in larger groups, and all of
them only after millions of new ones.
"""

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 10, 50)
"""New objects until the youngest are looked through; how often that is until the second generation is; and so on to
all: five million, some hundred thousand batches."""


def look_rarely() -> None:
    """Set it so for this process, once all is built that stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
