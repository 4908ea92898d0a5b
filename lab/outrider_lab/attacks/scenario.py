"""The shape of an attack and of its quiet twin: a command for the guarded container, and perhaps a peer beside it."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from outrider_lab.settings import Mount


class Peer(Struct, frozen=True):
    """Who the scenario's connection leads to: listens, sends `say` lines, reads until `until` was seen, holds on.

    `farewell` is said before the connection is closed; `reply` is sent for each thing received. `connects` turns it
    round: the peer is a command line run beside the task, such as an ssh client; `{address}` there is the task's.
    """

    say: tuple[str, ...] = ()
    until: str = ""
    hold_s: float = 0.3
    farewell: str = ""
    tls: bool = False
    reply: str = ""
    connects: str = ""


SHELL_PEER = Peer(say=("id; echo outrider-$((40+2)) pid=$$",), until="outrider-42", hold_s=0.4, farewell="exit")
"""An attacker at the other end of a shell: asks who it is, and waits a moment. The marker is not in what is sent."""

SHELL_PEER_TLS = replace(SHELL_PEER, tls=True)


class Scenario(Struct, frozen=True):
    """One attack, or (empty `finding`) one piece of ordinary work that must raise nothing but what `allowed` names.

    `command` is a shell command line; `{host}` and `{port}` are the peer's, `{python}` the interpreter and
    `{programs}` the folder of the lab's own small programs, all on the machine's root. `how` says whether it runs
    below the container's entry point or comes from outside, as ECS Exec does. `expect` must be in its output or in
    what its peer heard, or it did not do what it is for. `tools` are programs that the machine must have. `mounts`
    are needed when the task is made (`Task` settings), with `prepare` run on the machine before.
    """

    name: str
    idea: str
    command: str
    finding: str = ""
    allowed: tuple[str, ...] = ()
    peer: Peer | None = None
    how: Literal["run", "exec"] = "run"
    expect: str = ""
    tools: tuple[str, ...] = ()
    timeout_s: float = 20.0
    mounts: tuple[Mount, ...] = ()


NEW_BINARY = "Execution:Runtime/NewBinaryExecuted"
NEW_LIBRARY = "Execution:Runtime/NewLibraryLoaded"
FILELESS = "DefenseEvasion:Runtime/FilelessExecution"
REVERSE_SHELL = "Execution:Runtime/ReverseShell"
MINING_NAME = "CryptoCurrency:Runtime/BitcoinTool.B!DNS"
