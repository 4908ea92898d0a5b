"""What a program's standard streams say by themselves. Pure.

Descriptors as they were read of a program, and the sockets among them; what lies behind them is found elsewhere.
"""

from typing import Final

from outrider_sidecar.world.lineage import FoundTie, Held
from outrider_sidecar.world.tree import Process
from outrider_wire.events import Descriptor, SocketFacts

FIRST_ASIDE: Final = 10
"""The lowest descriptor at which a shell puts aside a stream that it will put back."""


def has_channel(stdio: tuple[Descriptor, ...]) -> bool:
    """Whether standard input may be fed by somebody else."""
    source = next((d for d in stdio if d.fd == 0), None)
    return source is not None and (
        source.fifo or source.target.startswith(("socket:[", "pipe:[", "/dev/pts/", "/dev/tty", "/dev/console"))
    )


def direct_tie(process: Process) -> FoundTie | None:
    """Standard input and output are one and the same connection; certain for any program, not only a shell."""
    facts = {s.inode: s for s in process.sockets if s.protocol != "unix" and s.remote_port}
    inodes = {d.fd: d.inode for d in process.stdio if d.target.startswith("socket:[")}
    source, sink = facts.get(inodes.get(0, -1)), facts.get(inodes.get(1, -1)) or facts.get(inodes.get(2, -1))
    if source is None or sink is None:
        return None
    if source.inode != sink.inode and (source.remote, source.remote_port) != (sink.remote, sink.remote_port):
        return None
    return FoundTie("socket", source, process.id, ("descriptors 0 and 1 are the connection",))


def speaks_on_own_descriptor(
    shell: Held, started_with: tuple[Descriptor, ...], child: Process, socket: SocketFacts
) -> bool:
    """`while read -r -u5 line; do eval "$line" >&5 2>&5; done`: the shell keeps the connection above its streams.

    Output and errors both: a script that sends a measurement somewhere sends its output alone. A shell that has the
    connection as its own streams got it from whoever logs to it, or has put it there for good; but while it runs an
    `eval` or a function whose output is sent elsewhere, the streams it was `started_with` are only put aside.
    """
    fds = {d.fd for d in shell.descriptors if d.inode == socket.inode and d.target.startswith("socket:[")}
    streams = {d.fd for d in child.stdio if d.inode == socket.inode and d.target.startswith("socket:[")}
    if not fds or max(fds) <= 2 or not {1, 2} <= streams:
        return False
    return min(fds) > 2 or _puts_aside(shell, started_with, fds)


def _puts_aside(shell: Held, started_with: tuple[Descriptor, ...], fds: set[int]) -> bool:
    """Shells keep a stream that they will put back at a descriptor that no script names: 10 and above."""
    aside = {(d.target, d.inode) for d in shell.descriptors if d.fd >= FIRST_ASIDE}
    own = {(d.target, d.inode) for d in started_with if d.fd in fds & {1, 2}}
    return bool(own) and own <= aside


def answers_to_socket(process: Process) -> SocketFacts | None:
    """The connection that a program's output or errors go to."""
    inodes = {d.inode for d in process.stdio if d.fd in (1, 2) and d.target.startswith("socket:[")}
    return next((s for s in process.sockets if s.inode in inodes and s.protocol != "unix" and s.remote_port), None)
