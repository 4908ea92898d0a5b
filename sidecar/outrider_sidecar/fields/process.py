"""Fields of the acting process itself: Falco's `proc.*`, and our own where Falco has none."""

import posixpath
import shlex
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.ancestry import command_line, first_argument
from outrider_sidecar.fields.context import Context
from outrider_wire.events import ProcessStarted


def pid(context: Context) -> int | None:
    return context.process.id.pid if context.process else None


def vpid(context: Context) -> int | None:
    """A container's first process counts as 1, which it would be without a shared PID namespace."""
    process, container = context.process, context.container
    if process is None:
        return None
    if container is not None and container.view.id != "host" and container.first == process.id:
        return 1
    return process.id.pid


def name(context: Context) -> str | None:
    return context.process.name if context.process else None


def exe(context: Context) -> str | None:
    return first_argument(context.process) if context.process else None


def exepath(context: Context) -> str | None:
    return context.process.exe.path if context.process else None


def exe_directory(context: Context) -> str | None:
    return posixpath.dirname(context.process.exe.path) if context.process else None


def args(context: Context) -> str | None:
    return " ".join(context.process.argv[1:]) if context.process else None


def cmdline(context: Context) -> str | None:
    return command_line(context.process) if context.process else None


def exeline(context: Context) -> str | None:
    return " ".join(context.process.argv) if context.process else None


def argv_quoted(context: Context) -> str | None:
    return shlex.join(context.process.argv) if context.process else None


def argc(context: Context) -> int | None:
    return len(context.process.argv) if context.process else None


def argument_count(context: Context) -> int | None:
    return max(len(context.process.argv) - 1, 0) if context.process else None


def length(context: Context) -> int | None:
    line = args(context)
    return len(line) if line is not None else None


def cwd(context: Context) -> str | None:
    """With a slash at its end, as Falco has it: `proc.cwd startswith /dev/shm/` is meant to hold in /dev/shm."""
    here = context.process.cwd if context.process else ""
    return (here if here.endswith("/") else here + "/") if here else None


def tty(context: Context) -> int | None:
    return context.process.tty if context.process else None


def duration(context: Context) -> int | None:
    process = context.process
    return max(context.event.at_ns - context.world.began_ns(process), 0) if process else None


def started_at(context: Context) -> int | None:
    return context.world.began_ns(context.process) if context.process else None


def inode(context: Context) -> int | None:
    return context.process.exe.ino or None if context.process else None


def changed_ns(context: Context) -> int | None:
    return context.process.exe.ctime_ns or None if context.process else None


def modified_ns(context: Context) -> int | None:
    return context.process.exe.mtime_ns or None if context.process else None


def started_after_change(context: Context) -> int | None:
    """How long after its file's last change it was started: little for what was just dropped."""
    began_ns, ctime_ns = started_at(context), changed_ns(context)
    executed_ns = context.process.executed_at_ns if context.process else 0
    return max(executed_ns or began_ns or 0, ctime_ns) - ctime_ns if ctime_ns and began_ns else None


def is_writable(context: Context) -> bool | None:
    """Whether whoever runs it may write to its file, by owner, group and mode; root may."""
    process = context.process
    if process is None or process.uid < 0 or not process.exe.mode:
        return None
    if process.uid == 0 or process.exe.mode & 0o002:
        return True
    owner = context.world.late.owner_of_exe(process.id) if process.alive else None
    if owner is None:
        return None
    if owner[0] == process.uid:
        return bool(process.exe.mode & 0o200)
    return owner[1] == process.gid and bool(process.exe.mode & 0o020)


def is_shell(context: Context) -> bool | None:
    return context.world.shells.is_shell(context.process) if context.process else None


def env(context: Context) -> str | None:
    if context.process is None:
        return None
    return " ".join([f"{key}={value}" for key, value in context.process.env.items()])


def env_at(context: Context, key: str) -> str | None:
    return context.process.env.get(key) if context.process else None


def seen(context: Context) -> str | None:
    return context.process.seen if context.process else None


def entered(context: Context) -> bool | None:
    return context.process.entered if context.process else None


def untraced(context: Context) -> bool:
    return isinstance(context.event, ProcessStarted) and context.event.untraced


STAT: Final = "proc_pid_stat(5)"
STACK: Final = "the stack at the exec stop"
FILE: Final = "stat(2) of /proc/PID/exe"
KEPT: Final = "only variables that load code or send traffic elsewhere are kept: an environment holds secrets"

FIELDS = (
    Field("proc.pid", "int", pid, doc="Process id, in the task's PID namespace.", source=STAT),
    Field(
        "proc.vpid",
        "int",
        vpid,
        weaker="one PID namespace is shared in a task: a container's first process counts as 1",
        doc="Process id within its container; 1 for the container's first process.",
        source="process tree",
    ),
    Field(
        "proc.name", "str", name, set_by_exec=True, doc="The kernel's name for it: 15 bytes.", source="proc_pid_comm(5)"
    ),
    Field("proc.exe", "str", exe, set_by_exec=True, doc="Its first argument.", source=STACK),
    Field("proc.exepath", "str", exepath, doc="Path of its executable in the container.", source="/proc/PID/exe"),
    Field("proc.exe_directory", "str", exe_directory, doc="Directory of its executable.", source="/proc/PID/exe"),
    Field("proc.args", "str", args, set_by_exec=True, doc="Its arguments without the first.", source=STACK),
    Field("proc.cmdline", "str", cmdline, set_by_exec=True, doc="Its name and arguments.", source=STACK),
    Field("proc.exeline", "str", exeline, set_by_exec=True, doc="Its first argument and the others.", source=STACK),
    Field(
        "proc.cmdnargs",
        "int",
        argument_count,
        set_by_exec=True,
        doc="How many arguments, without the first.",
        source=STACK,
    ),
    Field(
        "proc.cmdlenargs",
        "int",
        length,
        set_by_exec=True,
        doc="Length of its arguments.",
        unit="characters",
        source=STACK,
    ),
    Field(
        "proc.argv",
        "str",
        argv_quoted,
        set_by_exec=True,
        doc="Its whole command line, quoted for a shell.",
        source=STACK,
    ),
    Field("proc.argc", "int", argc, set_by_exec=True, doc="How many arguments, the first included.", source=STACK),
    Field("proc.cwd", "str", cwd, doc="Its working directory at the exec, with a slash last.", source="/proc/PID/cwd"),
    Field("proc.tty", "int", tty, doc="Its controlling terminal; 0 for none.", source=STAT),
    Field("proc.duration", "int", duration, doc="How long it has lived.", unit="ns", source=STAT),
    Field("proc.pid.ts", "int", started_at, doc="When it began, since the epoch.", unit="ns", source=STAT),
    Field("proc.exe_ino", "int", inode, doc="Inode number of its executable.", source=FILE),
    Field("proc.exe_ino.ctime", "int", changed_ns, doc="That inode's last change.", unit="ns", source=FILE),
    Field("proc.exe_ino.mtime", "int", modified_ns, doc="That file's last modification.", unit="ns", source=FILE),
    Field(
        "proc.exe_ino.ctime_duration_proc_start",
        "int",
        started_after_change,
        doc="How long after that inode's last change it was started.",
        unit="ns",
        source=FILE,
    ),
    Field(
        "proc.is_exe_writable",
        "bool",
        is_writable,
        set_by_exec=True,
        weaker="worked out of owner and mode; absent once the process is gone",
        doc="Whoever runs it may write to its executable.",
        source=FILE,
    ),
    Field(
        "proc.is_shell",
        "bool",
        is_shell,
        set_by_exec=True,
        doc="It is a shell: by file name, applet, or the build id of one.",
    ),
    Field(
        "proc.env",
        "str",
        env,
        set_by_exec=True,
        weaker=KEPT,
        doc="Its kept environment variables, NAME=value.",
        source=STACK,
    ),
    Field(
        "proc.env",
        "str",
        env_at,
        set_by_exec=True,
        indexed=True,
        index="key",
        weaker=KEPT,
        doc="A kept environment variable.",
        source=STACK,
    ),
    Field("proc.seen", "str", seen, doc="exec, found or snapshot: how it came to our notice."),
    Field("proc.is_entered", "bool", entered, doc="It came from outside the task's PID namespace, as ECS Exec does."),
    Field("proc.is_untraced", "bool", untraced, doc="It was cloned so that the tracer should not see it."),
)
