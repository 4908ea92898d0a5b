"""Arguments of the call: Falco's `evt.arg.*` and `evt.args`, as far as what is seen after it tells them."""

import stat
from collections.abc import Callable
from functools import partial
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import event_type
from outrider_wire.events import FileChanged, ProcessExecuted, SyscallMade

LINKED_FROM: Final = (
    *("/etc", "/root", "/root/.ssh", "/etc/ssh", "/etc/sudoers.d", "/etc/pam.d", "/etc/security", "/etc/cron.d"),
    *("/bin", "/usr/bin", "/sbin", "/usr/sbin"),
)
"""Where the other name of a hard link is looked for."""
_MODES: Final = (
    *((stat.S_IXOTH, "S_IXOTH"), (stat.S_IWOTH, "S_IWOTH"), (stat.S_IROTH, "S_IROTH")),
    *((stat.S_IXGRP, "S_IXGRP"), (stat.S_IWGRP, "S_IWGRP"), (stat.S_IRGRP, "S_IRGRP")),
    *((stat.S_IXUSR, "S_IXUSR"), (stat.S_IWUSR, "S_IWUSR"), (stat.S_IRUSR, "S_IRUSR")),
    *((stat.S_ISVTX, "S_ISVTX"), (stat.S_ISGID, "S_ISGID"), (stat.S_ISUID, "S_ISUID")),
)


def _changed(context: Context, *types: str) -> FileChanged | None:
    event = context.event
    return event if isinstance(event, FileChanged) and event_type(event) in types else None


def _told(context: Context, name: str) -> str | None:
    return context.event.arguments.get(name) if isinstance(context.event, SyscallMade) else None


def path(context: Context) -> str | None:
    event = _changed(context, "open", "mkdir", "unlink", "mknod", "chmod")
    return event.file.path if event else _told(context, "path")


def name(context: Context) -> str | None:
    event = _changed(context, "open", "unlink")
    return event.file.path if event else _told(context, "name")


def filename(context: Context) -> str | None:
    if isinstance(context.event, ProcessExecuted):
        return context.event.execfn or None
    event = _changed(context, "chmod")
    return event.file.path if event else _told(context, "filename")


def old_path(context: Context) -> str | None:
    event = _changed(context, "rename", "link")
    if event is None:
        return _told(context, "oldpath")
    if event.change == "linked":
        return context.world.late.other_name(event.mnt_ns, event.file, LINKED_FROM)
    return event.file.path if event.change == "moved_out" else None


def new_path(context: Context) -> str | None:
    event = _changed(context, "rename", "link")
    if event is None:
        return _told(context, "newpath")
    return event.file.path if event.change in ("moved_in", "linked") else None


def target(context: Context) -> str | None:
    event = _changed(context, "symlink")
    return context.world.late.link_target(event.mnt_ns, event.file.path) if event else _told(context, "target")


def link_path(context: Context) -> str | None:
    event = _changed(context, "symlink")
    return event.file.path if event else _told(context, "linkpath")


def mode_names(mode: int) -> str:
    """Permissions as Falco prints them: `S_IXUSR|S_IRUSR`."""
    return "|".join([word for bit, word in _MODES if mode & bit]) or "0"


def mode(context: Context) -> str | None:
    """Of a change of attributes only where the mode is another than before, as far as that is known."""
    event = _changed(context, "chmod", "mkdir", "open", "mknod")
    if event is None:
        return _told(context, "mode")
    if event.change == "attributes" and context.world.earlier.of(event).mode == event.file.mode:
        return None
    return mode_names(event.file.mode)


def flags(context: Context) -> str | None:
    event = _changed(context, "open")
    if event is None:
        return _told(context, "flags")
    if event.change == "opened":
        return "O_RDONLY"
    if event.change == "created":
        return "O_CREAT|O_WRONLY"
    truncated = event.file.nlink > 0 and event.file.size < max(context.world.earlier.of(event).size, 1)
    return "O_TRUNC|O_WRONLY" if truncated else "O_WRONLY"


_NAMED: Final[dict[str, Callable[[Context], str | None]]] = {
    "path": path,
    "name": name,
    "filename": filename,
    "oldpath": old_path,
    "newpath": new_path,
    "target": target,
    "linkpath": link_path,
    "mode": mode,
    "flags": flags,
}
_RARE: Final = ("request", "cmd", "domain", "type", "proto", "uid", "gid", "fd", "nstype", "pid", "addr", "data")


def arguments(context: Context) -> str:
    """All of them, as `name=value`."""
    if isinstance(context.event, SyscallMade):
        return " ".join([f"{key}={value}" for key, value in context.event.arguments.items()])
    if isinstance(context.event, ProcessExecuted):
        return f"filename={context.event.execfn} argc={len(context.event.argv)}"
    return " ".join([f"{key}={value}" for key, get in _NAMED.items() if (value := get(context)) is not None])


def info(context: Context) -> str:
    return arguments(context)


AFTER: Final = "what the watch tells after the call"
HALVES: Final = "the two names of a rename are told of as two events"

FIELDS = (
    Field("evt.arg.path", "str", path, doc="The file that was made, removed or changed.", source=AFTER),
    Field("evt.arg.name", "str", name, doc="The file that was opened or removed.", source=AFTER),
    Field(
        "evt.arg.filename",
        "str",
        filename,
        set_by_exec=True,
        doc="The program as it was asked for, or the file of a chmod.",
    ),
    Field(
        "evt.arg.oldpath",
        "str",
        old_path,
        weaker=HALVES + "; of a hard link the other name is looked for in a few directories",
        doc="The name before.",
        source=AFTER,
    ),
    Field("evt.arg.newpath", "str", new_path, weaker=HALVES, doc="The new name.", source=AFTER),
    Field("evt.arg.target", "str", target, weaker="read back from the link", doc="What the link says.", source=AFTER),
    Field("evt.arg.linkpath", "str", link_path, doc="The name of the symbolic link.", source=AFTER),
    Field(
        "evt.arg.mode",
        "str",
        mode,
        weaker="read after the call; any change of attributes counts where the mode before is not known",
        doc="Permissions, as S_IXUSR|S_IRUSR.",
        source=AFTER,
    ),
    Field(
        "evt.arg.flags",
        "str",
        flags,
        weaker="worked out: O_CREAT where a file is new, O_TRUNC where it is shorter than before or empty",
        doc="How a file was opened, or what a call was told.",
        source=AFTER,
    ),
    *(
        Field(f"evt.arg.{key}", "str", partial(_told, name=key), doc=f"The argument {key} of a rare call.")
        for key in _RARE
    ),
    Field("evt.args", "str", arguments, set_by_exec=True, doc="All arguments that are known, as name=value."),
    Field("evt.info", "str", info, set_by_exec=True, doc="The same as evt.args."),
    Field(
        "evt.buffer",
        "str",
        partial(_told, name="buffer"),
        lacking="what is read and written is not looked at: that needs a sensor of the calls themselves",
        doc="What was read or written.",
    ),
)
