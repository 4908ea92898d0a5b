"""Fields of the acting process: Falco's `proc.*`, `user.*` and `group.*`, and our own where Falco has none."""

import posixpath
import shlex

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.shells import base_name
from outrider_sidecar.world.tree import Process
from outrider_wire.events import ProcessStarted

STAT = "proc_pid_stat(5)"
RECORD = "the process tree"


def pid(context: Context) -> int | None:
    return context.process.id.pid if context.process else None


def name(context: Context) -> str | None:
    return context.process.name if context.process else None


def exe(context: Context) -> str | None:
    return context.process.argv[0] if context.process and context.process.argv else None


def exepath(context: Context) -> str | None:
    return context.process.exe.path if context.process else None


def exe_directory(context: Context) -> str | None:
    return posixpath.dirname(context.process.exe.path) if context.process else None


def args(context: Context) -> str | None:
    return " ".join(context.process.argv[1:]) if context.process else None


def command_line(process: Process) -> str:
    """Falco's form: the name, then the arguments."""
    return " ".join((process.name, *process.argv[1:]))


def cmdline(context: Context) -> str | None:
    return command_line(context.process) if context.process else None


def argv_quoted(context: Context) -> str | None:
    return shlex.join(context.process.argv) if context.process else None


def argc(context: Context) -> int | None:
    return len(context.process.argv) if context.process else None


def cwd(context: Context) -> str | None:
    return context.process.cwd if context.process else None


def tty(context: Context) -> int | None:
    return context.process.tty if context.process else None


def pname(context: Context) -> str | None:
    return context.ancestors[0].name if context.ancestors else None


def pcmdline(context: Context) -> str | None:
    return command_line(context.ancestors[0]) if context.ancestors else None


def pexepath(context: Context) -> str | None:
    return context.ancestors[0].exe.path if context.ancestors else None


def pexe(context: Context) -> str | None:
    return context.ancestors[0].argv[0] if context.ancestors and context.ancestors[0].argv else None


def ppid(context: Context) -> int | None:
    return context.process.parent.pid if context.process and context.process.parent else None


def aname(context: Context) -> list[str]:
    return [ancestor.name for ancestor in context.ancestors]


def _nth(context: Context, index: str) -> Process | None:
    if not index.isdigit() or context.process is None:
        return None
    line = [context.process, *context.ancestors]
    return line[int(index)] if int(index) < len(line) else None


def aname_at(context: Context, index: str) -> str | None:
    ancestor = _nth(context, index)
    return ancestor.name if ancestor else None


def aexepath_at(context: Context, index: str) -> str | None:
    ancestor = _nth(context, index)
    return ancestor.exe.path if ancestor else None


def image_ancestors(context: Context) -> list[str]:
    """`pip` is a script: what its interpreter was asked to run counts too, where both are the image's."""
    found = []
    for ancestor in context.ancestors:
        drift = context.world.judge_exe(ancestor)
        if drift is None or drift.verdict != "old":
            continue
        found.append(base_name(ancestor.exe.path))
        if ancestor.script is not None:
            script = context.world.judge(ancestor.script, ancestor.mnt_ns)
            if script is not None and script.verdict == "old":
                found.append(base_name(ancestor.script.path))
    return found


def lineage(context: Context) -> str | None:
    return " <- ".join(p.name for p in context.ancestors) or None


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
    return f"{command_line(author)} (pid {author.id.pid}, inferred)" if author else None


def top_ancestor(context: Context) -> str | None:
    """Who stands at the top: one build, one shell session or one service has one."""
    line = [context.process, *context.ancestors] if context.process else []
    return f"{line[-1].id.pid}/{line[-1].id.start_ticks}" if line else None


def is_shell(context: Context) -> bool | None:
    return context.world.shells.is_shell(context.process) if context.process else None


def env(context: Context, key: str) -> str | None:
    return context.process.env.get(key) if context.process else None


def seen(context: Context) -> str | None:
    return context.process.seen if context.process else None


def entered(context: Context) -> bool | None:
    return context.process.entered if context.process else None


def untraced(context: Context) -> bool:
    return isinstance(context.event, ProcessStarted) and context.event.untraced


def uid(context: Context) -> int | None:
    return context.process.uid if context.process and context.process.uid >= 0 else None


def euid(context: Context) -> int | None:
    return context.process.euid if context.process and context.process.euid >= 0 else None


def gid(context: Context) -> int | None:
    return context.process.gid if context.process and context.process.gid >= 0 else None


FIELDS = (
    Field("proc.pid", "int", pid, doc="Process id, in the task's PID namespace.", source=STAT),
    Field("proc.ppid", "int", ppid, doc="Process id of the parent that forked it.", source=RECORD),
    Field("proc.name", "str", name, doc="The kernel's name for it: 15 bytes.", source="proc_pid_comm(5)"),
    Field("proc.exe", "str", exe, doc="Its first argument.", source="the stack at the exec stop"),
    Field("proc.exepath", "str", exepath, doc="Path of its executable in the container.", source="/proc/PID/exe"),
    Field("proc.exe_directory", "str", exe_directory, doc="Directory of its executable.", source="/proc/PID/exe"),
    Field("proc.args", "str", args, doc="Its arguments without the first.", source="the stack at the exec stop"),
    Field("proc.cmdline", "str", cmdline, doc="Its name and arguments.", source="the stack at the exec stop"),
    Field("proc.argv", "str", argv_quoted, doc="Its whole command line, quoted for a shell.", source="exec stop"),
    Field("proc.argc", "int", argc, doc="How many arguments, the first included.", source="exec stop"),
    Field("proc.cwd", "str", cwd, doc="Its working directory at the exec.", source="/proc/PID/cwd"),
    Field("proc.tty", "int", tty, doc="Its controlling terminal; 0 for none.", source=STAT),
    Field("proc.pname", "str", pname, doc="Name of its parent.", source=RECORD),
    Field("proc.pcmdline", "str", pcmdline, doc="Name and arguments of its parent.", source=RECORD),
    Field("proc.pexe", "str", pexe, doc="First argument of its parent.", source=RECORD),
    Field("proc.pexepath", "str", pexepath, doc="Path of its parent's executable.", source=RECORD),
    Field("proc.aname", "list[str]", aname, doc="Names of all its ancestors.", source=RECORD),
    Field("proc.aname", "str", aname_at, indexed=True, doc="Name of the n-th ancestor; 0 is itself.", source=RECORD),
    Field("proc.aexepath", "str", aexepath_at, indexed=True, doc="Executable of the n-th ancestor.", source=RECORD),
    Field(
        "proc.image_ancestors",
        "list[str]",
        image_ancestors,
        doc="File names of those ancestors' executables and scripts that are unchanged since the container started.",
        source="process tree and drift record",
    ),
    Field("proc.lineage", "str", lineage, doc="All ancestors' names, nearest first.", source=RECORD),
    Field("proc.top_ancestor", "str", top_ancestor, doc="Identity of the topmost known ancestor.", source=RECORD),
    Field("proc.is_exe_new", "bool", is_exe_new, doc="Its executable appeared or changed since the container started."),
    Field("proc.is_exe_undecided", "bool", is_exe_undecided, doc="It may have changed: it cannot be told."),
    Field("proc.is_exe_upper_layer", "bool", is_exe_upper_layer, doc="Falco's name; answered by the drift record."),
    Field("proc.is_exe_fileless", "bool", is_exe_fileless, doc="Its executable has no name in any file system."),
    Field(
        "proc.is_exe_from_memfd", "bool", is_exe_from_memfd, doc="Its executable is a memfd.", source="/proc/PID/exe"
    ),
    Field("proc.exe_drift", "str", exe_drift, doc="Why its executable counts as new, old or neither."),
    Field("proc.script", "str", script_path, doc="The script an interpreter (or program ld.so) was asked to run."),
    Field("proc.is_script_new", "bool", is_script_new, doc="That script is new since the container started."),
    Field("proc.is_script_undecided", "bool", is_script_undecided, doc="That script may have changed."),
    Field("proc.is_script_fileless", "bool", is_script_fileless, doc="That script has no name in any file system."),
    Field("proc.script_drift", "str", script_drift, doc="Why that script counts as new, old or neither."),
    Field("proc.new_file", "str", new_file, doc="The new file that was executed: the program or the script."),
    Field(
        "proc.new_file_changed_at", "int", new_file_changed_at, unit="ns", doc="When that file last changed (ctime)."
    ),
    Field("proc.new_file_directory", "str", new_file_directory, doc="The directory of that file."),
    Field("proc.new_file_author", "str", new_file_author, doc="Who most likely made that file (inferred)."),
    Field("proc.is_shell", "bool", is_shell, doc="It is a shell: by file name, applet, or the build id of one."),
    Field("proc.env", "str", env, indexed=True, index="key", doc="A kept environment variable.", source="exec stop"),
    Field("proc.seen", "str", seen, doc="exec, found or snapshot: how it came to our notice."),
    Field("proc.is_entered", "bool", entered, doc="It came from outside the task's PID namespace, as ECS Exec does."),
    Field("proc.is_untraced", "bool", untraced, doc="It was cloned so that the tracer should not see it."),
    Field("user.uid", "int", uid, doc="Real user id.", source="auxiliary vector"),
    Field("user.euid", "int", euid, doc="Effective user id.", source="auxiliary vector"),
    Field("group.gid", "int", gid, doc="Real group id.", source="auxiliary vector"),
)
