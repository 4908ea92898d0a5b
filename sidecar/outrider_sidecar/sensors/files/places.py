"""Which directories of a container are watched, and in which order.

Order is what the first second of a container's life is about: where attackers drop files first and little is to be
watched comes first; library trees, which are large and change seldom, come last. A container that has more
directories than its bound loses sight of the end of this list first.

A shallow place has its own entries watched and not the directories that were below it already: a directory that is
made there later is new, and is watched whole. So `/evil/x` is seen at the cost of one watch.
"""

from typing import Final

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """A directory to watch. Lower `rank` is watched sooner."""

    path: bytes
    rank: int
    shallow: bool = False


RANKS: Final = 4
FIRST, PROGRAM, CONFIGURATION, LAST = range(RANKS)

SHALLOW: Final = (b"/", b"/dev", b"/var", b"/var/lib", b"/usr", b"/usr/local")
SCRATCH: Final = (b"/tmp", b"/var/tmp", b"/dev/shm", b"/run", b"/root")
PROGRAMS: Final = (
    b"/bin", b"/sbin", b"/usr/bin", b"/usr/sbin", b"/usr/local/bin", b"/usr/local/sbin", b"/home", b"/app",
)  # fmt: skip
SETTINGS: Final = (
    b"/etc", b"/var/spool/cron", b"/var/log", b"/var/lib/rpm", b"/var/www", b"/srv", b"/usr/share/nginx/html",
)  # fmt: skip
LIBRARIES: Final = (b"/lib", b"/lib64", b"/usr/local/lib", b"/opt", b"/usr/lib", b"/usr/lib64")

PLACES: Final = (
    *(Place(path, FIRST, shallow=True) for path in SHALLOW),
    *(Place(path, FIRST) for path in SCRATCH),
    *(Place(path, PROGRAM) for path in PROGRAMS),
    *(Place(path, CONFIGURATION) for path in SETTINGS),
    *(Place(path, LAST) for path in LIBRARIES),
)

DEVICES: Final = b"/dev"
"""Watched for what appears there alone: everybody writes to /dev/null all the time."""

NEVER_BELOW: Final = (b"/proc", b"/sys")
"""Not files: never watched, also where the program's own directory is `/`."""


def places_of(extra: tuple[str, ...]) -> tuple[Place, ...]:
    """Every place of a container, `extra` (the program's own directories) among the first; `/` only shallow."""
    own = [path.encode("utf-8", "surrogateescape") for path in extra if path.startswith("/")]
    return (*(Place(path, FIRST) for path in own if path.strip(b"/")), *PLACES)
