"""What rules call each event: `evt.type`, Falco's word where there is one.

A family of system calls has one name here: the event of a file that was opened for writing is `open`, whichever of
open, openat and openat2 it was, for the watch does not tell. `FAMILIES` says which names stand for which, so that
a rule that names any of a family is given its event.
"""

import stat
from typing import Final

from outrider_wire.events import (
    ConnectionOpened,
    ContainerSeen,
    Event,
    FileChanged,
    FileHashed,
    FilesWatched,
    LibraryLoaded,
    NameQueried,
    NameResolved,
    ProcessExecuted,
    ProcessExited,
    ProcessReleased,
    ProcessStarted,
    ServerNamed,
    SightLost,
    StdioTied,
    SyscallMade,
)

_CHANGES: Final = {
    "created": "open",
    "written": "open",
    "moved_in": "rename",
    "moved_out": "rename",
    "deleted": "unlink",
    "attributes": "chmod",
    "linked": "link",
    "found": "file_found",
    "opened": "open",
}
_CREATIONS: Final = {
    stat.S_IFDIR: "mkdir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "mknod",
    stat.S_IFCHR: "mknod",
    stat.S_IFBLK: "mknod",
    stat.S_IFSOCK: "mknod",
}
"""What the creation of anything but a regular file is called."""

_FIXED: Final[dict[type, str]] = {
    ProcessStarted: "clone",
    ProcessExecuted: "execve",
    ProcessExited: "procexit",
    ProcessReleased: "released",
    LibraryLoaded: "library_load",
    NameQueried: "dns_query",
    NameResolved: "dns_answer",
    ServerNamed: "tls_hello",
    StdioTied: "stdio_tied",
    SightLost: "sight_lost",
    FileHashed: "file_hashed",
    FilesWatched: "files_watched",
    ContainerSeen: "container_seen",
}

FAMILIES: Final[dict[str, str]] = {
    **dict.fromkeys(("execveat",), "execve"),
    **dict.fromkeys(("fork", "vfork", "clone3"), "clone"),
    **dict.fromkeys(("openat", "openat2", "open_by_handle_at", "creat"), "open"),
    **dict.fromkeys(("renameat", "renameat2"), "rename"),
    **dict.fromkeys(("unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(("fchmod", "fchmodat", "fchmodat2"), "chmod"),
    **dict.fromkeys(("linkat",), "link"),
    **dict.fromkeys(("symlinkat",), "symlink"),
    **dict.fromkeys(("mkdirat",), "mkdir"),
    **dict.fromkeys(("mknodat",), "mknod"),
    **dict.fromkeys(("accept4",), "accept"),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg"), "dns_query"),
    **dict.fromkeys(("recvfrom", "recvmsg", "recvmmsg"), "recv"),
    **dict.fromkeys(("finit_module",), "init_module"),
    **dict.fromkeys(("dup2", "dup3"), "dup"),
}
"""Falco's name of an event to the one name it has here."""

FILE_TYPES: Final = frozenset((*_CHANGES.values(), *_CREATIONS.values()))
LIBRARY_TYPES: Final = frozenset(("library_load",))
CONNECTION_TYPES: Final = frozenset(("connect", "accept"))
QUERY_TYPES: Final = frozenset(("dns_query",))
SOCKET_TYPES: Final = CONNECTION_TYPES | QUERY_TYPES
NAME_TYPES: Final = frozenset(("dns_query", "dns_answer"))
TLS_TYPES: Final = frozenset(("tls_hello",))
TIE_TYPES: Final = frozenset(("stdio_tied",))
HASH_TYPES: Final = frozenset(("file_hashed",))
EXEC_TYPES: Final = frozenset(("execve",))
PROCESS_TYPES: Final = frozenset(("clone", "execve", "procexit", "released"))
EVENT_TYPES: Final = frozenset((*_FIXED.values(), *FILE_TYPES, *CONNECTION_TYPES))
"""Every type of event that our sensors give rise to; a rare system call's own name comes besides."""


def event_type(event: Event) -> str:
    """The value of `evt.type` for an event."""
    fixed = _FIXED.get(type(event))
    if fixed is not None:
        return fixed
    if isinstance(event, FileChanged):
        if event.change == "created":
            return _CREATIONS.get(stat.S_IFMT(event.file.mode), "mkdir" if event.kind == "dir" else "open")
        return _CHANGES[event.change]
    if isinstance(event, ConnectionOpened):
        return "accept" if event.direction == "inbound" else "connect"
    assert isinstance(event, SyscallMade)
    return event.name
