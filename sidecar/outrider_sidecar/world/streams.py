"""What a program's standard streams say by themselves. Pure.

Descriptors as they were read of a program, and the sockets among them; what lies behind them is found elsewhere.
"""

from outrider_sidecar.world.lineage import FoundTie, Held
from outrider_sidecar.world.tree import Process
from outrider_wire.events import Descriptor, SocketFacts


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


def speaks_on_own_descriptor(shell: Held, child: Process, socket: SocketFacts) -> bool:
    """`while read -r -u5 line; do eval "$line" >&5 2>&5; done`: the shell keeps the connection above its streams.

    Output and errors both: a script that sends a measurement somewhere sends its output alone. A shell that has the
    connection as its own streams got it from whoever logs to it.
    """
    fds = {d.fd for d in shell.descriptors if d.inode == socket.inode and d.target.startswith("socket:[")}
    streams = {d.fd for d in child.stdio if d.inode == socket.inode and d.target.startswith("socket:[")}
    return bool(fds) and min(fds) > 2 and {1, 2} <= streams


def answers_to_socket(process: Process) -> SocketFacts | None:
    """The connection that a program's output or errors go to."""
    inodes = {d.inode for d in process.stdio if d.fd in (1, 2) and d.target.startswith("socket:[")}
    return next((s for s in process.sockets if s.inode in inodes and s.protocol != "unix" and s.remote_port), None)
