"""Which directories of a container are watched, and in which order.

Order is what the first second of a container's life is about, and what a bound leaves: the own level of every place
comes before anything below one. First what programs are started from, where attackers drop files and what makes
programs start; then the tops of library trees, homes and data; then what lies below settings, programs and scratch
directories; last the trees that are large (libraries, homes, `/opt`). A container that has more directories than
its bound loses sight of the end of this order first.

A shallow place has its own entries watched and not the directories that were below it already: a directory that is
made there later is new, and is watched whole. So `/evil/x` is seen at the cost of one watch.
"""

from typing import Final

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """A directory to watch: itself at `rank`, what lies below it at `below`. Lower is sooner."""

    path: bytes
    rank: int
    below: int
    shallow: bool = False


RANKS: Final = 4
OWN, TOPS, NEAR, DEEP = range(RANKS)
IMPORTANT: Final = (OWN, TOPS)
"""The ranks of own levels: few directories, and until they are watched a container is not."""

SHALLOW: Final = (b"/", b"/dev", b"/var", b"/var/lib", b"/usr", b"/usr/local")
PROGRAMS: Final = (b"/usr/local/bin", b"/usr/local/sbin", b"/usr/bin", b"/usr/sbin", b"/bin", b"/sbin")
SCRATCH: Final = (b"/tmp", b"/var/tmp", b"/dev/shm")
SETTINGS: Final = (
    b"/etc/cron.d", b"/etc/pam.d", b"/etc/ssh", b"/etc/sudoers.d", b"/etc/profile.d", b"/etc/ld.so.conf.d", b"/etc",
    b"/root/.ssh", b"/var/spool/cron/crontabs", b"/var/spool/cron", b"/var/log", b"/var/lib/rpm",
)  # fmt: skip
"""Those that lie in another stand before it, so that the other finds them watched."""
LIBRARIES: Final = (
    b"/usr/lib/x86_64-linux-gnu", b"/usr/lib/aarch64-linux-gnu", b"/usr/lib", b"/usr/lib64", b"/lib", b"/lib64",
    b"/usr/local/lib64", b"/usr/local/lib",
)  # fmt: skip
TREES: Final = (b"/app", b"/root", b"/home", b"/opt", b"/run", b"/srv", b"/var/www", b"/usr/share/nginx/html")

PLACES: Final = (
    *(Place(path, OWN, NEAR) for path in (*PROGRAMS, *SCRATCH, *SETTINGS)),
    *(Place(path, OWN, DEEP, shallow=True) for path in SHALLOW),
    *(Place(path, TOPS, DEEP) for path in (*LIBRARIES, *TREES)),
)

DEVICES: Final = b"/dev"
"""Watched for what appears there alone: everybody writes to /dev/null all the time."""

NEVER_BELOW: Final = (b"/proc", b"/sys")
"""Not files: never watched, also where the program's own directory is `/`."""


def places_of(extra: tuple[str, ...]) -> tuple[Place, ...]:
    """Every place of a container, `extra` (the program's own directories) among the first; `/` only shallow."""
    own = [path.encode("utf-8", "surrogateescape") for path in extra if path.startswith("/")]
    return (*(Place(path, OWN, DEEP) for path in own if path.strip(b"/")), *PLACES)
