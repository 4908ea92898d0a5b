"""Fields of what is new in a container: the executable, the script, and who made them. Ours, and three of Falco's."""

import posixpath
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.ancestry import command_line
from outrider_sidecar.fields.context import Context


def is_exe_new(context: Context) -> bool:
    return context.exe_drift is not None and context.exe_drift.verdict == "new"


def is_exe_undecided(context: Context) -> bool:
    return context.exe_drift is not None and context.exe_drift.verdict == "undecided"


def is_exe_fileless(context: Context) -> bool:
    """A process that came from outside and never executed anything here is a container runtime's own first step."""
    process = context.process
    if process is None or context.exe_drift is None or (process.entered and process.seen != "exec"):
        return False
    return context.exe_drift.verdict == "fileless"


def is_exe_from_memfd(context: Context) -> bool | None:
    return context.process.exe.path.startswith("/memfd:") if context.process else None


def is_exe_upper_layer(context: Context) -> bool:
    return is_exe_new(context) or is_exe_undecided(context)


def exe_drift(context: Context) -> str | None:
    return context.exe_drift.reason if context.exe_drift else None


def script_path(context: Context) -> str | None:
    return context.process.script.path if context.process and context.process.script else None


def is_script_new(context: Context) -> bool:
    return context.script_drift is not None and context.script_drift.verdict == "new"


def is_script_undecided(context: Context) -> bool:
    return context.script_drift is not None and context.script_drift.verdict == "undecided"


def is_script_fileless(context: Context) -> bool:
    return context.script_drift is not None and context.script_drift.verdict == "fileless"


def script_drift(context: Context) -> str | None:
    return context.script_drift.reason if context.script_drift else None


def _counts_script(context: Context) -> bool:
    return context.script_drift is not None and context.script_drift.verdict != "old"


def new_file(context: Context) -> str | None:
    process = context.process
    if process is None:
        return None
    if process.script is not None and _counts_script(context):
        return process.script.path
    return process.exe.path


def new_file_changed_at(context: Context) -> int | None:
    process = context.process
    if process is None:
        return None
    if process.script is not None and _counts_script(context):
        return process.script.ctime_ns
    return process.exe.ctime_ns


def new_file_directory(context: Context) -> str | None:
    path = new_file(context)
    return posixpath.dirname(path) if path else None


def new_file_author(context: Context) -> str | None:
    drift = context.script_drift if is_script_new(context) else context.exe_drift
    author = context.world.tree.get(drift.by) if drift is not None and drift.by is not None else None
    if author is None or drift is None:
        return None
    return f"{command_line(author)} (pid {author.id.pid}{'' if drift.by_exactly else ', inferred'})"


UPPER: Final = "told by the drift record: content that came or changed since the container was created"

FIELDS = (
    Field("proc.is_exe_new", "bool", is_exe_new, doc="Its executable appeared or changed since the container started."),
    Field("proc.is_exe_undecided", "bool", is_exe_undecided, doc="It may have changed: it cannot be told."),
    Field(
        "proc.is_exe_upper_layer",
        "bool",
        is_exe_upper_layer,
        weaker=UPPER,
        doc="Its executable is not the image's.",
        source="the drift record",
    ),
    Field(
        "proc.is_exe_lower_layer",
        "bool",
        lambda context: not is_exe_upper_layer(context),
        weaker=UPPER,
        doc="Its executable is the image's.",
        source="the drift record",
    ),
    Field("proc.is_exe_fileless", "bool", is_exe_fileless, doc="Its executable has no name in any file system."),
    Field(
        "proc.is_exe_from_memfd", "bool", is_exe_from_memfd, doc="Its executable is a memfd.", source="/proc/PID/exe"
    ),
    Field("proc.exe_drift", "str", exe_drift, doc="Why its executable counts as new, old or neither."),
    Field(
        "proc.script",
        "str",
        script_path,
        set_by_exec=True,
        doc="The script an interpreter (or program ld.so) was asked to run.",
    ),
    Field("proc.is_script_new", "bool", is_script_new, doc="That script is new since the container started."),
    Field("proc.is_script_undecided", "bool", is_script_undecided, doc="That script may have changed."),
    Field("proc.is_script_fileless", "bool", is_script_fileless, doc="That script has no name in any file system."),
    Field("proc.script_drift", "str", script_drift, doc="Why that script counts as new, old or neither."),
    Field("proc.new_file", "str", new_file, doc="The new file that was executed: the program or the script."),
    Field("proc.new_file_changed_at", "int", new_file_changed_at, unit="ns", doc="When that file changed (ctime)."),
    Field("proc.new_file_directory", "str", new_file_directory, doc="The directory of that file."),
    Field("proc.new_file_author", "str", new_file_author, doc="Who made that file; said to be inferred where it is."),
)
