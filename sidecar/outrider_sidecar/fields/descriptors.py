"""Fields of what an event's descriptor is: Falco's `fd.*` that files and sockets share, and those of files."""

import posixpath
import stat
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.fields.files import file_of, path
from outrider_sidecar.fields.sockets import SOME_UDP, connection_name, family, server_address
from outrider_sidecar.world.kinds import FILE_TYPES, SOCKET_TYPES
from outrider_wire.events import ConnectionOpened, FileChanged, NameQueried, SyscallMade

RARE: Final = frozenset(("socket", "dup", "listen", "recv", "bind"))
"""Rare calls that are of a descriptor; what is known of it stands among their arguments."""
FD_TYPES: Final = FILE_TYPES | SOCKET_TYPES | RARE
_NEITHER: Final = {stat.S_IFDIR: ("directory", "d"), stat.S_IFLNK: ("file", "f"), stat.S_IFIFO: ("pipe", "p")}
_CHARS: Final = {"ipv4": "4", "ipv6": "6", "unix": "u", "file": "f", "directory": "d", "pipe": "p"}


def number(context: Context) -> int | None:
    """The descriptor's number is told by no sensor; 0 says that there is one."""
    return 0 if type_of(context) is not None else None


def type_of(context: Context) -> str | None:
    event = context.event
    if isinstance(event, ConnectionOpened | NameQueried):
        return family(context)
    if isinstance(event, FileChanged):
        if event.kind == "dir":
            return "directory"
        return _NEITHER.get(stat.S_IFMT(event.file.mode), ("file", "f"))[0]
    if isinstance(event, SyscallMade) and event.name in RARE:
        return event.arguments.get("fd.type")
    return None


def typechar(context: Context) -> str | None:
    return _CHARS.get(type_of(context) or "")


def name(context: Context) -> str | None:
    if isinstance(context.event, SyscallMade) and context.event.name in RARE:
        return context.event.arguments.get("fd.name")
    return connection_name(context) or path(context)


def directory(context: Context) -> str | None:
    """Of a directory itself, the one it is in."""
    file = file_of(context)
    return posixpath.dirname(file.path) if file else None


def filename(context: Context) -> str | None:
    file = file_of(context)
    return posixpath.basename(file.path) if file else None


def inode(context: Context) -> int | None:
    file = file_of(context)
    return file.ino or None if file else None


def device(context: Context) -> int | None:
    file = file_of(context)
    return file.dev or None if file else None


def raw_name(context: Context) -> str | None:
    """The argument of the acting process's command line that leads to the file."""
    file, process = file_of(context), context.process
    if file is None or process is None:
        return None
    full = ((word, posixpath.normpath(posixpath.join(process.cwd or "/", word))) for word in process.argv[1:])
    return next((word for word, leads_to in full if leads_to == file.path), None)


def is_connected(context: Context) -> bool | None:
    """Datagrams of a question count as unconnected: that is how rules tell them from a connection."""
    if isinstance(context.event, NameQueried):
        return context.event.transport == "tcp"
    return server_address(context) is not None


def has_new_name(context: Context) -> bool:
    return server_address(context) is not None


_ZERO: Final = dict.fromkeys(FILE_TYPES | SOCKET_TYPES, 0)

FIELDS = (
    Field("fd.num", "int", number, events=FD_TYPES, always=_ZERO, doc="0: the number is told by no sensor."),
    Field("fd.type", "str", type_of, events=FD_TYPES, doc="file, directory, ipv4, ipv6 …"),
    Field("fd.typechar", "str", typechar, events=FD_TYPES, doc="f, d, 4, 6, u or p."),
    Field("fd.name", "str", name, events=FD_TYPES, doc="A file's path, or a connection as source->destination."),
    Field("fd.directory", "str", directory, events=FILE_TYPES, doc="Directory of the file that changed."),
    Field("fd.filename", "str", filename, events=FILE_TYPES, doc="Last part of its path."),
    Field("fd.ino", "int", inode, events=FILE_TYPES, doc="Its inode number."),
    Field("fd.dev", "int", device, events=FILE_TYPES, doc="The device it is on."),
    Field(
        "fd.nameraw",
        "str",
        raw_name,
        events=FILE_TYPES,
        weaker="the argument of the command line that leads to the file; none where no argument does",
        doc="The path as it was written.",
    ),
    Field("fd.connected", "bool", is_connected, events=SOCKET_TYPES, weaker=SOME_UDP, doc="The socket is connected."),
    Field("fd.name_changed", "bool", has_new_name, events=SOCKET_TYPES, doc="The event gave it a new name: always."),
)
