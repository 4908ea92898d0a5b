"""docs/falco-compatibility.md, written from what came of playing the actions. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from outrider_lab.attacks.falco.action import Action
from outrider_wire.findings import Finding


class Played(Protocol):
    """What the table needs to know of an action that was played."""

    @property
    def action(self) -> Action: ...
    @property
    def finding(self) -> Finding | None: ...
    @property
    def on_actor(self) -> bool: ...
    @property
    def note(self) -> str: ...


HOST_HEADING: Final = "## On a container instance, by the host process"
"""Where the second part of the document begins."""

_HEAD: Final = """# Falco's stock rules, tried

Written by `make falco-compatibility`, not by hand. Falco's three stock rule files are loaded unchanged into the
sidecar of a lab task (default capabilities and SYS_PTRACE, Docker's default seccomp profile), with one more file
that only turns on the rules they leave off. Then each action of Falco's event generator is played in the guarded
container, in a version of our own. It counts where the rule it is named after held for the process that did it
(its pid is compared), or for a file whose process nobody knows.

**{caught} of the {all} actions trip their rule.** Of the {plain} that need neither SYS_ADMIN nor a host nor an outside
network, **{caught_plain}** do. What contacts an outside name in the generator is sent to the lab's own attacker here.

How the process is known: *exact* is the kernel's own word (an exec, a socket's holder); *inferred* is worked out of
command lines and open files, because inotify names no process, or of the command line of a program that exists to
make one system call; *unknown* names nobody. The file watch may outrun the record of an exec by a moment: then nobody
is named, and another run may name the process.
"""


_HOST_HEAD: Final = (
    HOST_HEADING
    + """

The same actions in a container of a task in `awsvpc` mode, with Outrider as one host process (`outrider run --mode
host`) outside every container, and nobody traced. The proc connector tells of starts, fanotify of files with the
process that touched them. The container's processes have other pids outside than inside: the one that is compared is
the one outside, looked up before the act begins.

**{caught} of the {all} actions trip their rule**, {exact} of them with the process known exactly. Of the {plain} that
need neither SYS_ADMIN nor a host nor an outside network, **{caught_plain}** do.
"""
)


def put_part(document: str, mode: str, part: str) -> str:
    """The document with the part of one mode replaced, and that of the other kept."""
    task, mark, host = document.partition(HOST_HEADING)
    if mode == "host":
        return (task.rstrip() + "\n\n" if task.strip() else "") + part
    return part.rstrip() + "\n" + (f"\n{mark}{host}" if mark else "")


def render(outcomes: Sequence[Played], mode: str = "task") -> str:
    """The part of one mode."""
    plain = [one for one in outcomes if not one.action.needs]
    level = "###" if mode == "host" else "##"
    head = (_HOST_HEAD if mode == "host" else _HEAD).format(
        caught=sum(one.finding is not None for one in outcomes),
        all=len(outcomes),
        plain=len(plain),
        caught_plain=sum(one.finding is not None for one in plain),
        exact=sum(one.on_actor and one.finding is not None and one.finding.attribution == "exact" for one in outcomes),
    )
    caught = [_caught_row(one) for one in outcomes if one.finding is not None]
    missed = [_missed_row(one) for one in outcomes if one.finding is None]
    return "\n".join(
        (
            head,
            f"{level} What trips its rule\n",
            *_table(("action", "rule", "what is done", "needs outside", "process", "known by"), caught),
            f"\n{level} What does not, and why\n",
            *_table(("action", "rule", "what is done", "needs", "reason"), missed),
            "",
        )
    )


def _caught_row(one: Played) -> tuple[str, ...]:
    assert one.finding is not None
    process = "the one that did it" if one.on_actor else "not known"
    outside = "the lab's attacker" if one.action.needs == "outside" else ""
    return (one.action.name, one.action.rule, one.action.idea, outside, process, one.finding.attribution)


def _missed_row(one: Played) -> tuple[str, ...]:
    reason = one.note or "it did not trip in this run"
    return (one.action.name, one.action.rule, one.action.idea, one.action.needs, reason)


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]
