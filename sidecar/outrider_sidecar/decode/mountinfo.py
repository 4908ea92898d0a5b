"""What proc_pid_mountinfo(5) says of a container's mounts. Pure; paths are hostile."""

import re
from typing import Final

from msgspec import Struct

from outrider_wire.text import clean_text

MAX_MOUNTS: Final = 4_096
_OCTAL: Final = re.compile(rb"\\([0-3][0-7]{2})")


class Mount(Struct, frozen=True, gc=False):
    """One mount. `source` is the path within the file system that is mounted at `destination`, `/` for the whole.

    `number` is the mount's own, as `mnt_id` in proc_pid_fdinfo(5).
    """

    source: str
    destination: str
    options: str
    kind: str
    number: int = 0

    @property
    def is_bind(self) -> bool:
        """Whether a part of a file system is mounted, as bind mounts and volumes are."""
        return self.source != "/" and self.kind not in ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue")


def parse_mounts(raw: bytes) -> tuple[Mount, ...]:
    """Every mount in order, up to MAX_MOUNTS. Raises ValueError where a line is none."""
    return tuple([_parse_line(line) for line in raw.splitlines()[:MAX_MOUNTS]])


def _parse_line(line: bytes) -> Mount:
    words = line.split(b" ")
    try:
        dash = words.index(b"-", 6)
        return Mount(_text(words[3]), _text(words[4]), _text(words[5]), _text(words[dash + 1]), int(words[0]))
    except (ValueError, IndexError) as error:
        raise ValueError(f"not a line of mountinfo: {line[:60]!r}") from error


def _text(word: bytes) -> str:
    """Space, tab, newline and backslash are written in octal."""
    return clean_text(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), word))
