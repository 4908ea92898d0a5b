"""Reading what a rule asks for late, from /proc, from the engine's thread: bounded, cached, and None where it is gone.

Facts that shape this file:

- The process that is asked about may have ended, and its pid may be another's. Start ticks are read after the
  facts: if they are still the same, the facts are of the process that was meant.
- loginuid is inherited over fork(2) and changes once in a session at most, so it is kept for each process, as is
  that it could not be read.
- passwd and group are the container's own, read through the root of any living process of it, with no link followed
  out of that root, and kept until their inode, size or times change, which is looked at once in CHECK_S.
- A uid without a login reads as 4294967295; rules say -1.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from outrider_sidecar.decode.accounts import MAX_BYTES, Accounts, parse_accounts
from outrider_sidecar.decode.mountinfo import Mount, parse_mounts
from outrider_sidecar.decode.status import Status, parse_status
from outrider_sidecar.linux.procfs import PROC, read_bytes, read_stat
from outrider_sidecar.linux.rooted import open_beneath, opened_root, resolve
from outrider_wire.errors import ProcessGone, Unavailable
from outrider_wire.events import FileFacts, ProcessId
from outrider_wire.text import clean_text

CHECK_S: Final = 1.0
BOUND_S: Final = 10.0
"""A container's bounding set is read as seldom as this: it is what the container was started with."""
MAX_KEPT: Final = 4_096
MAX_CONTAINERS: Final = 256
MAX_MOUNTINFO_BYTES: Final = 1 << 20
MAX_PIDS_TRIED: Final = 4
MAX_LISTED: Final = 4_096
"""Most entries looked at for another name of a file."""
MAX_COMPARED: Final = 512
"""Most of them that are compared by more than their inode number."""
UNSET: Final = (1 << 32) - 1

PidsOf = Callable[[int], Iterable[int]]
"""Living processes of a mount namespace."""
T = TypeVar("T")
_Stamp = tuple[tuple[int, int, int], ...]
_Kept = tuple[float, _Stamp, Accounts | None]
"""Until when it is believed without looking, what the files looked like, and what they said."""


class ProcFacts:
    """Late facts from a running system; for one thread."""

    def __init__(
        self,
        pids_of: PidsOf,
        *,
        proc: Path = PROC,
        clock: Callable[[], float] = time.monotonic,
        check_s: float = CHECK_S,
    ) -> None:
        self._pids_of = pids_of
        self._proc = proc
        self._clock = clock
        self._check_s = check_s
        self._login_uids: OrderedDict[ProcessId, int | None] = OrderedDict()
        self._bounds: OrderedDict[int, tuple[float, int | None]] = OrderedDict()
        self._accounts: OrderedDict[int, _Kept] = OrderedDict()

    def status(self, process: ProcessId) -> Status | None:
        raw = self._read(process, "status", 8192)
        try:
            return parse_status(raw) if raw is not None else None
        except ValueError:
            return None

    def login_uid(self, process: ProcessId) -> int | None:
        if process not in self._login_uids:
            self._login_uids[process] = self._read_login_uid(process)
            if len(self._login_uids) > MAX_KEPT:
                self._login_uids.popitem(last=False)
        return self._login_uids[process]

    def _read_login_uid(self, process: ProcessId) -> int | None:
        """Whose it is, is made sure of only where it is set: every sudo rule asks this of every program."""
        try:
            raw = read_bytes(f"{self._proc}/{process.pid}/loginuid", limit=16).strip()
        except OSError:
            return None
        if not raw.isdigit():
            return None
        if int(raw) == UNSET:
            return -1
        return int(raw) if self._is_still(process) else None

    def owner_of_exe(self, process: ProcessId) -> tuple[int, int] | None:
        try:
            status = os.stat(f"{self._proc}/{process.pid}/exe")
        except OSError:
            return None
        return (status.st_uid, status.st_gid) if self._is_still(process) else None

    def accounts(self, mnt_ns: int) -> Accounts | None:
        now_s = self._clock()
        known = self._accounts.get(mnt_ns)
        if known is not None and now_s < known[0]:
            return known[2]
        found = self._in_root(mnt_ns, lambda root: _read_accounts(root, known))
        stamp, accounts = found if found is not None else ((), known[2] if known is not None else None)
        self._accounts[mnt_ns] = (now_s + self._check_s, stamp, accounts)
        if len(self._accounts) > MAX_CONTAINERS:
            self._accounts.popitem(last=False)
        return accounts

    def bounding(self, mnt_ns: int) -> int | None:
        now_s = self._clock()
        known = self._bounds.get(mnt_ns)
        if known is None or now_s >= known[0]:
            known = self._bounds[mnt_ns] = (now_s + BOUND_S, self._read_bounding(mnt_ns))
            if len(self._bounds) > MAX_CONTAINERS:
                self._bounds.popitem(last=False)
        return known[1]

    def _read_bounding(self, mnt_ns: int) -> int | None:
        oldest = min(self._pids_of(mnt_ns), default=0)
        try:
            return parse_status(read_bytes(f"{self._proc}/{oldest}/status", limit=8192)).bounding
        except (OSError, ValueError):
            return None

    def mounts(self, mnt_ns: int) -> tuple[Mount, ...] | None:
        for pid in self._some_pids(mnt_ns):
            try:
                return parse_mounts(_read_whole(f"{self._proc}/{pid}/mountinfo", MAX_MOUNTINFO_BYTES))
            except (OSError, ValueError):
                continue
        return None

    def link_target(self, mnt_ns: int, path: str) -> str | None:
        return self._in_root(mnt_ns, lambda root: _read_link(root, os.fsencode(path)))

    def other_name(self, mnt_ns: int, file: FileFacts, directories: Iterable[str]) -> str | None:
        return self._in_root(mnt_ns, lambda root: _find_name(root, file, directories))

    def _read(self, process: ProcessId, name: str, limit: int) -> bytes | None:
        try:
            raw = read_bytes(f"{self._proc}/{process.pid}/{name}", limit=limit)
        except OSError:
            return None
        return raw if self._is_still(process) else None

    def _is_still(self, process: ProcessId) -> bool:
        try:
            return read_stat(process.pid, proc=self._proc).process == process
        except (ProcessGone, Unavailable, ValueError):
            return False

    def _some_pids(self, mnt_ns: int) -> list[int]:
        return [pid for pid, _ in zip(self._pids_of(mnt_ns), range(MAX_PIDS_TRIED), strict=False)]

    def _in_root(self, mnt_ns: int, read: Callable[[int], T | None]) -> T | None:
        for pid in self._some_pids(mnt_ns):
            try:
                with opened_root(pid, mnt_ns, proc=self._proc) as root:
                    return read(root)
            except (ProcessGone, Unavailable, OSError):
                continue
        return None


def _read_accounts(root: int, known: _Kept | None) -> tuple[_Stamp, Accounts]:
    opened = [_open(root, name) for name in (b"/etc/passwd", b"/etc/group")]
    try:
        stamp = tuple([_stamp(fd) for fd in opened])
        if known is not None and known[2] is not None and known[1] == stamp:
            return stamp, known[2]
        contents = [os.pread(fd, MAX_BYTES, 0) if fd >= 0 else b"" for fd in opened]
        return stamp, parse_accounts(contents[0], contents[1])
    finally:
        for fd in opened:
            if fd >= 0:
                os.close(fd)


def _open(root: int, path: bytes) -> int:
    """A regular file of the container, to be read, or -1."""
    try:
        looked = open_beneath(root, resolve(root, path), os.O_PATH)
    except OSError:
        return -1
    try:
        if os.stat(f"/proc/self/fd/{looked}").st_mode & 0o170000 != 0o100000:
            return -1
        return os.open(f"/proc/self/fd/{looked}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    finally:
        os.close(looked)


def _stamp(fd: int) -> tuple[int, int, int]:
    if fd < 0:
        return (0, 0, 0)
    status = os.fstat(fd)
    return (status.st_ino, status.st_size, status.st_ctime_ns)


def _read_link(root: int, path: bytes) -> str | None:
    fd = open_beneath(root, path, os.O_PATH)
    try:
        return clean_text(os.readlink(b"", dir_fd=fd))
    finally:
        os.close(fd)


def _find_name(root: int, file: FileFacts, directories: Iterable[str]) -> str | None:
    """Names are compared by inode and device; of the first ones also by what two names of one file share.

    An overlay shows a file of the image under its old inode number as long as somebody has it in memory, and under
    its new one at a name that it got later. Both show the same number of names, the same size and mtime.
    """
    left = MAX_LISTED
    for directory in directories:
        try:
            fd = open_beneath(root, resolve(root, directory.encode()), os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    left -= 1
                    path = f"{directory}/{clean_text(os.fsencode(entry.name))}"
                    likely = entry.inode() == file.ino or left > MAX_LISTED - MAX_COMPARED
                    if likely and path != file.path and _is_same(entry, file):
                        return path
                    if left <= 0:
                        return None
        finally:
            os.close(fd)
    return None


def _is_same(entry: "os.DirEntry[str]", file: FileFacts) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    if (status.st_dev, status.st_ino) == (file.dev, file.ino):
        return True
    shared = (status.st_nlink, status.st_size, status.st_mtime_ns, status.st_mode)
    return file.nlink > 1 and shared == (file.nlink, file.size, file.mtime_ns, file.mode)


def _read_whole(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(limit)
