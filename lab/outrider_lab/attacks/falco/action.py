"""The shape of a stock action in our own version: what it does, by which process, and which rule is to trip.

A played action is three shell lines in one shell: `prepare`, the act itself, `undo`. The act is started as
`sh -c 'echo actor=$$; exec ACT'`, so that the pid that is printed is the pid that does it. Where that process has
another pid outside, it waits for a line of input, so that it can be looked for. An action that cannot run here exits
77 and says why.
"""

import shlex
from typing import Final, Literal

from msgspec import Struct

Need = Literal["", "SYS_ADMIN", "host", "outside"]
"""What the stock action wants beyond a container: a capability, to run outside any, or a peer on the internet."""

SCRATCH: Final = "/tmp/outrider-falco"
CANNOT_RUN: Final = 77
LASTING_S: Final = 0.3
"""What was done lasts so long before it is undone: a file is looked at when the watch has told of it."""


class Action(Struct, frozen=True):
    """One stock action. `{host}` is the lab's attacker, `{python}` the interpreter, `{scratch}` a fresh folder.

    `rule` is the stock rule it is named after. `blind` says why that rule cannot trip, and `needs` what the stock
    action wants that a task does not have: such an action is listed and not played where `act` is empty.
    `settle_s` is waited after `prepare`: what was prepared is no part of the act. `tools` are programs that the
    container must have.
    """

    name: str
    rule: str
    idea: str
    act: str = ""
    prepare: str = ""
    undo: str = ""
    needs: Need = ""
    blind: str = ""
    settle_s: float = 0.0
    tools: tuple[str, ...] = ()
    timeout_s: float = 20.0


def script_of(action: Action, *, host: str, python: str, waits: bool = False) -> str:
    """The whole shell script of an action, its places filled in (not by format: scripts are full of braces).

    `waits`: the act begins when a line is written to the script's standard input.
    """
    begin = "echo actor=$$; read -r go; exec " if waits else "echo actor=$$; exec "
    act = f"sh -c {shlex.quote(begin + action.act)}"
    missing = [f"command -v {tool} >/dev/null || {{ echo '{tool} is missing'; exit 77; }}" for tool in action.tools]
    lines = [
        "set -a",
        *missing,
        f"rm -rf {SCRATCH}; mkdir -p {SCRATCH} || exit 77",
        action.prepare or ":",
        f"sleep {action.settle_s}" if action.settle_s else ":",
        act,
        "code=$?",
        f"sleep {LASTING_S}",
        action.undo or ":",
        f"rm -rf {SCRATCH}",
        "echo code=$code",
    ]
    text = "\n".join(lines)
    for name, value in (("host", host), ("python", python), ("scratch", SCRATCH)):
        text = text.replace(f"{{{name}}}", value)
    return text


def actor_of(output: str) -> int:
    """The pid that the act printed last; 0 where it printed none."""
    said = [line.removeprefix("actor=") for line in output.splitlines() if line.startswith("actor=")]
    return int(said[-1]) if said and said[-1].isdigit() else 0
