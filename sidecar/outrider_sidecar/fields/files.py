"""Our fields of a file that changed and of a library that was loaded: `file.*` and `library.*`."""

import posixpath

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.drift import Drift
from outrider_sidecar.world.kinds import FILE_TYPES, LIBRARY_TYPES
from outrider_wire.events import FileChanged, FileFacts, LibraryLoaded


def file_of(context: Context) -> FileFacts | None:
    return context.event.file if isinstance(context.event, FileChanged) else None


def path(context: Context) -> str | None:
    file = file_of(context)
    return file.path if file else None


def change(context: Context) -> str | None:
    return context.event.change if isinstance(context.event, FileChanged) else None


def kind(context: Context) -> str | None:
    return context.event.kind or None if isinstance(context.event, FileChanged) else None


def size(context: Context) -> int | None:
    file = file_of(context)
    return file.size if file and file.mode else None


def _library_drift(context: Context) -> Drift | None:
    if not isinstance(context.event, LibraryLoaded):
        return None
    return context.world.judge(context.event.library, context.event.mnt_ns)


def library_path(context: Context) -> str | None:
    return context.event.library.path if isinstance(context.event, LibraryLoaded) else None


def library_how(context: Context) -> str | None:
    return context.event.how if isinstance(context.event, LibraryLoaded) else None


def is_library_new(context: Context) -> bool:
    drift = _library_drift(context)
    return drift is not None and drift.verdict in ("new", "fileless")


def library_drift(context: Context) -> str | None:
    drift = _library_drift(context)
    return drift.reason if drift else None


def library_directory(context: Context) -> str | None:
    full = library_path(context)
    return posixpath.dirname(full) if full else None


FIELDS = (
    Field("file.path", "str", path, events=FILE_TYPES, doc="The file's path in the container."),
    Field("file.change", "str", change, events=FILE_TYPES, doc="created, written, moved_in, moved_out, deleted …"),
    Field("file.kind", "str", kind, events=FILE_TYPES, doc="elf, script, dir or other, by its first bytes."),
    Field("file.size", "int", size, events=FILE_TYPES, unit="bytes", doc="Its size after the change."),
    Field("library.path", "str", library_path, events=LIBRARY_TYPES, doc="Path of the library in the container."),
    Field("library.directory", "str", library_directory, events=LIBRARY_TYPES, doc="Its directory."),
    Field("library.how", "str", library_how, events=LIBRARY_TYPES, doc="mapped, ld_preload or ld_so_preload."),
    Field("library.is_new", "bool", is_library_new, events=LIBRARY_TYPES, doc="New since the container started."),
    Field("library.drift", "str", library_drift, events=LIBRARY_TYPES, doc="Why it counts as new."),
)
