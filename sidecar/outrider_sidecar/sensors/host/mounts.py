"""What a container has mounted, from /proc/PID/mountinfo, and what of it holds files that can change. Pure.

A line of proc_pid_mountinfo(5) names the mount, the part of the file system it shows (`root`) and where, with
spaces and the like as octal escapes. In the options of overlayfs a comma within a path is escaped once more by a
backslash. What a process under chroot sees of its mounts begins at its root.
"""

import re
from typing import Final, NamedTuple

FILES: Final = (b"overlay", b"tmpfs", b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"nfs", b"nfs4", b"fuse")
"""Kinds of file system that hold files which programs make and change."""

_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_PLAIN: Final = re.compile(rb"\\(.)", re.DOTALL)
_OPTION_END: Final = re.compile(rb"(?<!\\),")


class Mount(NamedTuple):
    """One mount: `root` of the file system `device` (major:minor) is shown at `at`."""

    id: int
    device: bytes
    root: bytes
    at: bytes
    kind: bytes
    read_only: bool
    options: bytes

    def option(self, name: bytes) -> bytes:
        """The value of an option of the file system; empty where there is none."""
        for option in _OPTION_END.split(self.options):
            key, _, value = option.partition(b"=")
            if key == name:
                return _PLAIN.sub(rb"\1", value)
        return b""


def parse_mountinfo(raw: bytes) -> list[Mount]:
    """The mounts of a mountinfo file. Raises ValueError for anything else."""
    return [_parse_line(line) for line in raw.split(b"\n") if line]


def _parse_line(line: bytes) -> Mount:
    fields = line.split(b" ")
    try:
        dash = fields.index(b"-", 6)
    except ValueError:
        raise ValueError(f"not a mountinfo line: {line[:60]!r}") from None
    if len(fields) < dash + 4:
        raise ValueError(f"mountinfo line is short: {line[:60]!r}")
    options = b" ".join(fields[dash + 3 :])
    read_only = b"ro" in (fields[5].split(b",") + options.split(b","))
    root, at, shown = _unescape(fields[3]), _unescape(fields[4]), _unescape(options)
    return Mount(int(fields[0]), fields[2], root, at, fields[dash + 1], read_only, shown)


def _unescape(text: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text)


def place_on_file_system(mounts: list[Mount], mount_id: int, shown: bytes) -> bytes | None:
    """Where a directory lies on its file system, that one of these mounts shows at a path; None for another's."""
    mount = next((mount for mount in mounts if mount.id == mount_id), None)
    if mount is None:
        return None
    at, root = mount.at.rstrip(b"/"), mount.root.rstrip(b"/")
    if shown == mount.at:
        return mount.root
    return root + shown[len(at) :] if shown.startswith(at + b"/") else None


def with_files(mounts: list[Mount]) -> list[Mount]:
    """The mounts that hold files, the topmost at each place, the root first."""
    top = {mount.at: mount for mount in mounts}
    kept = [mount for mount in top.values() if mount.kind.partition(b".")[0] in FILES]
    return sorted(kept, key=lambda mount: mount.at)
