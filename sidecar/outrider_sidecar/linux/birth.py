"""Parsing what proc_pid_stat(5) and proc_pid_status(5) say of a program that starts: pure, bytes in, facts out.

`startstack` is where the initial stack begins; the kernel shows it to whoever may trace the process. The name
stands in parentheses and may hold any byte, so fields are counted from the last `)`.
"""

from typing import Final

from msgspec import Struct

from outrider_wire.text import clean_text

_ID_LIMIT: Final = 1 << 32


class Birth(Struct, frozen=True, gc=False):
    """The fields of proc_pid_stat(5) that matter at an exec; the number is the manual's."""

    comm: str  # 2
    state: str  # 3
    ppid: int  # 4
    pgid: int  # 5
    sid: int  # 6
    tty: int  # 7
    start_ticks: int  # 22
    stack: int  # 28


def parse_birth(raw: bytes) -> Birth:
    """The content of a stat file. Raises ValueError for anything else."""
    opening, closing = raw.find(b"("), raw.rfind(b")")
    rest = raw[closing + 1 :].split(None, 26)
    if opening < 0 or closing < opening or len(rest) < 26:
        raise ValueError("not a stat line")
    return Birth(
        comm=clean_text(raw[opening + 1 : closing], limit=64),
        state=clean_text(rest[0], limit=1),
        ppid=int(rest[1]),
        pgid=int(rest[2]),
        sid=int(rest[3]),
        tty=int(rest[4]),
        start_ticks=int(rest[19]),
        stack=int(rest[25]),
    )


def parse_ids(status: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Real and effective uid, and gid, of a proc_pid_status(5) text. Raises ValueError."""
    found: dict[bytes, tuple[int, int]] = {}
    for line in status.splitlines():
        if line.startswith((b"Uid:", b"Gid:")):
            words = line[4:].split()
            if len(words) < 2 or not all(word.isdigit() and int(word) < _ID_LIMIT for word in words[:2]):
                raise ValueError("ids are not numbers")
            found.setdefault(line[:3], (int(words[0]), int(words[1])))
    if len(found) != 2:
        raise ValueError("no ids in status")
    return found[b"Uid"], found[b"Gid"]
