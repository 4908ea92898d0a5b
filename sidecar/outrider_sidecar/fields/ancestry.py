"""Fields of a process's ancestors, session and group leaders: Falco's `proc.p*`, `proc.a*`, `proc.s*`, `proc.vpg*`."""

from collections.abc import Callable
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.shells import base_name
from outrider_sidecar.world.tree import Process


def command_line(process: Process) -> str:
    """Falco's form: the name, then the arguments."""
    return " ".join((process.name, *process.argv[1:]))


def first_argument(process: Process) -> str | None:
    return process.argv[0] if process.argv else None


def _parent(context: Context) -> Process | None:
    return context.ancestors[0] if context.ancestors else None


def pname(context: Context) -> str | None:
    return parent.name if (parent := _parent(context)) else None


def pcmdline(context: Context) -> str | None:
    return command_line(parent) if (parent := _parent(context)) else None


def pexe(context: Context) -> str | None:
    return first_argument(parent) if (parent := _parent(context)) else None


def pexepath(context: Context) -> str | None:
    return parent.exe.path if (parent := _parent(context)) else None


def pduration(context: Context) -> int | None:
    parent = _parent(context)
    return max(context.event.at_ns - context.world.began_ns(parent), 0) if parent else None


def ppid(context: Context) -> int | None:
    return context.process.parent.pid if context.process and context.process.parent else None


def aname(context: Context) -> list[str]:
    return [ancestor.name for ancestor in context.ancestors]


def aexe(context: Context) -> list[str]:
    return [exe for ancestor in context.ancestors if (exe := first_argument(ancestor)) is not None]


def aexepath(context: Context) -> list[str]:
    return [ancestor.exe.path for ancestor in context.ancestors]


def acmdline(context: Context) -> list[str]:
    return [command_line(ancestor) for ancestor in context.ancestors]


def apid(context: Context) -> list[int]:
    return [ancestor.id.pid for ancestor in context.ancestors]


def _nth(context: Context, index: str) -> Process | None:
    if not (index.isascii() and index.isdigit() and len(index) <= 4) or context.process is None:
        return None
    number = int(index)
    if number == 0:
        return context.process
    return context.ancestors[number - 1] if number <= len(context.ancestors) else None


def aname_at(context: Context, index: str) -> str | None:
    return ancestor.name if (ancestor := _nth(context, index)) else None


def aexe_at(context: Context, index: str) -> str | None:
    return first_argument(ancestor) if (ancestor := _nth(context, index)) else None


def aexepath_at(context: Context, index: str) -> str | None:
    return ancestor.exe.path if (ancestor := _nth(context, index)) else None


def acmdline_at(context: Context, index: str) -> str | None:
    return command_line(ancestor) if (ancestor := _nth(context, index)) else None


def apid_at(context: Context, index: str) -> int | None:
    return ancestor.id.pid if (ancestor := _nth(context, index)) else None


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


def top_ancestor(context: Context) -> str | None:
    """Who stands at the top: one build, one shell session or one service has one."""
    line = [context.process, *context.ancestors] if context.process else []
    return f"{line[-1].id.pid}/{line[-1].id.start_ticks}" if line else None


def _session(context: Context) -> int | None:
    return context.process.sid or None if context.process else None


def _group(context: Context) -> int | None:
    return context.process.pgid or None if context.process else None


def _leader(context: Context, pid: int | None) -> Process | None:
    """By pid: the newest known process of it, which is the leader unless its pid was used again."""
    return context.world.tree.by_pid(pid) if pid else None


def of_leader(
    which: Callable[[Context], int | None], what: Callable[[Process], str | None]
) -> Callable[[Context], str | None]:
    """A field of a session's or group's leader."""

    def get(context: Context) -> str | None:
        leader = _leader(context, which(context))
        return what(leader) if leader else None

    return get


def is_session_leader(context: Context) -> bool | None:
    return context.process.sid == context.process.id.pid if context.process and context.process.sid else None


def is_group_leader(context: Context) -> bool | None:
    return context.process.pgid == context.process.id.pid if context.process and context.process.pgid else None


RECORD: Final = "the process tree"
STAT: Final = "proc_pid_stat(5)"
_LEADERS: Final = (
    ("s", "its session's leader", _session),
    ("vpg", "its process group's leader", _group),
)
_FACTS: Final[tuple[tuple[str, str, Callable[[Process], str | None]], ...]] = (
    ("name", "Name", lambda process: process.name),
    ("exe", "First argument", first_argument),
    ("exepath", "Executable", lambda process: process.exe.path),
)

FIELDS = (
    Field("proc.ppid", "int", ppid, doc="Process id of the parent that forked it.", source=RECORD),
    Field("proc.pvpid", "int", ppid, doc="The same: one PID namespace is shared.", source=RECORD),
    Field("proc.pname", "str", pname, doc="Name of its parent.", source=RECORD),
    Field("proc.pcmdline", "str", pcmdline, doc="Name and arguments of its parent.", source=RECORD),
    Field("proc.pexe", "str", pexe, doc="First argument of its parent.", source=RECORD),
    Field("proc.pexepath", "str", pexepath, doc="Path of its parent's executable.", source=RECORD),
    Field("proc.ppid.duration", "int", pduration, doc="How long its parent has lived.", unit="ns", source=STAT),
    Field("proc.aname", "list[str]", aname, doc="Names of all its ancestors.", source=RECORD),
    Field("proc.aexe", "list[str]", aexe, doc="First arguments of all its ancestors.", source=RECORD),
    Field("proc.aexepath", "list[str]", aexepath, doc="Executables of all its ancestors.", source=RECORD),
    Field("proc.acmdline", "list[str]", acmdline, doc="Command lines of all its ancestors.", source=RECORD),
    Field("proc.apid", "list[int]", apid, doc="Process ids of all its ancestors.", source=RECORD),
    Field("proc.aname", "str", aname_at, indexed=True, doc="Name of the n-th ancestor; 0 is itself.", source=RECORD),
    Field("proc.aexe", "str", aexe_at, indexed=True, doc="First argument of the n-th ancestor.", source=RECORD),
    Field("proc.aexepath", "str", aexepath_at, indexed=True, doc="Executable of the n-th ancestor.", source=RECORD),
    Field("proc.acmdline", "str", acmdline_at, indexed=True, doc="Command line of the n-th ancestor.", source=RECORD),
    Field("proc.apid", "int", apid_at, indexed=True, doc="Process id of the n-th ancestor.", source=RECORD),
    Field(
        "proc.image_ancestors",
        "list[str]",
        image_ancestors,
        doc="File names of those ancestors' executables and scripts that are unchanged since the container started.",
        source="process tree and drift record",
    ),
    Field("proc.lineage", "str", lineage, doc="All ancestors' names, nearest first.", source=RECORD),
    Field("proc.top_ancestor", "str", top_ancestor, doc="Identity of the topmost known ancestor.", source=RECORD),
    Field("proc.sid", "int", _session, doc="Its session id.", source=STAT),
    Field("proc.vpgid", "int", _group, doc="Its process group id.", source=STAT),
    Field("proc.is_sid_leader", "bool", is_session_leader, doc="It leads its session.", source=STAT),
    Field("proc.is_vpgid_leader", "bool", is_group_leader, doc="It leads its process group.", source=STAT),
    *(
        Field(f"proc.{short}{word}", "str", of_leader(which, what), doc=f"{title} of {whose}.", source=RECORD)
        for short, whose, which in _LEADERS
        for word, title, what in _FACTS
    ),
)
