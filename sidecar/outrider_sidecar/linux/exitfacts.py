"""What a process still holds at its exit stop, before the kernel closes it all.

The exit stop comes before exit_files and exit_mm: descriptors can be listed and mappings read, once more and for
the last time. Only descriptors that may lead somewhere are told of: sockets, pipes, fifos and terminals.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from outrider_sidecar.linux.descriptors import name_of, read_descriptor_at
from outrider_sidecar.linux.identity import identify, size_of
from outrider_sidecar.linux.procfs import PROC, file_facts
from outrider_sidecar.linux.rooted import stat_in_root
from outrider_wire.events import Descriptor, FileFacts
from outrider_wire.text import clean_text

MAX_HELD: Final = 64
MAX_LIBRARIES: Final = 256
MAX_MAPS_BYTES: Final = 1024 * 1024
_CHANNELS: Final = frozenset({stat.S_IFSOCK, stat.S_IFIFO})
_TYPE: Final = 0o170000
TERMINALS: Final = frozenset({4, 5, *range(128, 144)})
"""Major device numbers of consoles, /dev/tty and /dev/ptmx, and of both sides of pseudo-terminals."""


def held_descriptors(here: int, at_exec: tuple[Descriptor, ...] = ()) -> tuple[Descriptor, ...]:
    """The first MAX_HELD sockets, pipes, fifos and terminals that a process has open; () where it is gone.

    `here` is its /proc directory. `at_exec` are descriptors read before: one that is still of the same file is not
    read again.
    """
    try:
        known = {each.fd: each for each in at_exec}
        count = size_of(here, b"fd")  # the number of descriptors since Linux 6.2, 0 before
        try:
            return _channels(here, known if 0 < count == len(known) else _numbers(here), known)
        except FileNotFoundError:
            return _channels(here, _numbers(here), {})
    except OSError:
        return ()


def _numbers(here: int) -> list[int]:
    directory = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    try:
        return sorted(map(int, os.listdir(directory)))[:MAX_HELD]
    finally:
        os.close(directory)


def _channels(here: int, numbers: Iterable[int], known: dict[int, Descriptor]) -> tuple[Descriptor, ...]:
    found = []
    for fd in numbers:
        inode, device, mode, special = identify(here, name_of(fd))
        if mode & _TYPE in _CHANNELS or (special and os.major(special) in TERMINALS):
            before = known.get(fd)
            same = before is not None and before.inode == inode and before.dev in (0, device)
            found.append(before if before is not None and same else read_descriptor_at(here, fd))
    return tuple(found)


def mapped_files(maps: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(device, inode, path) of every file mapped executable in a proc_pid_maps(5) text. Raises ValueError."""
    told: set[tuple[int, int]] = set()
    for line in maps.splitlines():
        words = line.split(None, 5)
        if len(words) < 5:
            raise ValueError("not a line of maps")
        if len(words) < 6 or b"x" not in words[1] or not words[5].startswith(b"/"):
            continue
        major, colon, minor = words[3].partition(b":")
        if not colon:
            raise ValueError("not a device number")
        key = (os.makedev(int(major, 16) & 0xFFF, int(minor, 16) & 0xFFFFF), int(words[4]))
        if key not in told:
            told.add(key)
            yield *key, words[5]


def mapped_libraries(pid: int, *, proc: Path = PROC) -> tuple[FileFacts, ...]:
    """Files a process has mapped executable; () where it is gone.

    Where the file under that name is no longer the mapped one, only name, device and inode are given.
    """
    try:
        maps = _whole(f"{proc}/{pid}/maps")
        found = list(mapped_files(maps))[:MAX_LIBRARIES]
    except (OSError, ValueError):
        return ()
    return tuple(_library(f"{proc}/{pid}/root", *each) for each in found)


def _library(root: str, device: int, inode: int, path: bytes) -> FileFacts:
    text = clean_text(path)
    try:
        status = stat_in_root(root, path)
    except OSError:
        return FileFacts(path=text, dev=device, ino=inode, nlink=0)
    return file_facts(text, status) if status.st_ino == inode else FileFacts(path=text, dev=device, ino=inode, nlink=0)


def _whole(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        parts, size = [], 0
        while size < MAX_MAPS_BYTES and (part := file.read(65_536)):
            parts.append(part)
            size += len(part)
    return b"".join(parts)
