"""Events: what happened in a guarded task, as frozen records.

An event is a past fact that a sensor read from one kernel interface, or (`StdioTied`, `SightLost`) that the
world worked out of several. Times are `at_ns`: nanoseconds since the epoch, CLOCK_REALTIME. Text from the
guarded task is already decoded by `outrider_wire.text.clean_text`. A process is (pid, start_ticks), never a pid.

Every struct here travels in batches and in the journal: fields are only ever added, with a default.

`mnt_ns` and `net_ns` are the inode numbers of namespaces, 0 where untold: the first says whose container an event
is of, the second in which network a packet was seen.
"""

from typing import Literal

from msgspec import Struct

Attribution = Literal["exact", "inferred", "unknown"]
"""How the acting process is known: seen by the kernel interface itself, worked out, or not at all."""

Seen = Literal["exec", "found", "snapshot"]
"""exec: the exec itself was seen. found: it was already running when first seen. snapshot: at start-up."""

Tie = Literal["socket", "pty", "pipe-through-relay", "pipe-near-socket"]
"""How a shell's standard streams lead to a remote end; see `StdioTied`."""

Direction = Literal["outbound", "inbound", "unknown"]
"""outbound: our side sent the SYN."""


class ProcessId(Struct, frozen=True, gc=False, array_like=True):
    """A process for ever: pids are used again, the pair is not. `start_ticks` is field 22 of proc_pid_stat(5)."""

    pid: int
    start_ticks: int


class FileFacts(Struct, frozen=True, gc=False):
    """A file as it was at one moment. `path` is as seen in the container's own root. Times are ns since the epoch."""

    path: str
    dev: int = 0
    ino: int = 0
    mode: int = 0
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    nlink: int = 1


class SocketFacts(Struct, frozen=True, gc=False):
    """A socket as sock_diag(7) told of it. Addresses are text; a UNIX socket has `peer_inode` alone."""

    inode: int
    protocol: Literal["tcp", "udp", "unix"]
    local: str = ""
    local_port: int = 0
    remote: str = ""
    remote_port: int = 0
    state: str = ""
    peer_inode: int = 0
    direction: Direction = "unknown"


class Descriptor(Struct, frozen=True, gc=False):
    """An open descriptor: `target` is the text of the /proc/PID/fd link, such as `socket:[71]` or `/dev/pts/0`.

    `inode` and `dev` are of the open file where they were read (pipes, fifos, ptys), else 0. `access` is its
    open mode (`r`, `w`, `rw`, or empty when unread). `tty_index` is the slave's number for a pty master, else -1.
    `fifo`: a named pipe, whose target is its path.
    """

    fd: int
    target: str
    inode: int = 0
    dev: int = 0
    access: str = ""
    tty_index: int = -1
    fifo: bool = False


class ProcessStarted(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A process began: by fork (its parent is known), or was found running.

    `parent` is None where the parent is outside the PID namespace or was not seen. `mnt_ns` is the inode of the
    mount namespace, 0 when unread.
    """

    at_ns: int
    process: ProcessId
    parent: ProcessId | None = None
    seen: Seen = "exec"
    mnt_ns: int = 0
    untraced: bool = False


class ProcessExecuted(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A process runs a program: an exec, or the program it was found running.

    `parent` as in ProcessStarted. `env` holds only the variables named in `decode.environ.KEPT_VARIABLES`.
    `stdio` are descriptors 0 to 2, as many as are open. `sockets` are facts of those of `stdio` that are
    sockets. `script` is the file an interpreter was told to run, or the program ld.so was asked to run.
    `missing` names the facts that could not be read of the process; they hold their defaults, or, of a process that
    was gone too soon, what its parent had when it was forked. `tty` is tty_nr of
    proc_pid_stat(5), 0 for none. `execfn` is AT_EXECFN. `cgroup` is read only where the mount namespace is new.
    `ordered` are libraries that LD_PRELOAD or LD_AUDIT names by links of procfs, which are gone when the process is.
    """

    at_ns: int
    process: ProcessId
    parent: ProcessId | None = None
    seen: Seen = "exec"
    comm: str = ""
    exe: FileFacts = FileFacts(path="")
    argv: tuple[str, ...] = ()
    execfn: str = ""
    env: dict[str, str] = {}
    cwd: str = ""
    uid: int = -1
    euid: int = -1
    gid: int = -1
    egid: int = -1
    tty: int = 0
    pgid: int = 0
    sid: int = 0
    stdio: tuple[Descriptor, ...] = ()
    sockets: tuple[SocketFacts, ...] = ()
    script: FileFacts | None = None
    mnt_ns: int = 0
    cgroup: str = ""
    missing: tuple[str, ...] = ()
    sensor: str = ""
    ordered: tuple[FileFacts, ...] = ()


class ProcessExited(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A process ended. `status` is a wait(2) status, or None where it was not seen.

    `descriptors` and `sockets` are what it still held at its exit stop; `libraries` are files mapped executable,
    read only while new libraries were about.
    """

    at_ns: int
    process: ProcessId
    status: int | None = None
    descriptors: tuple[Descriptor, ...] = ()
    sockets: tuple[SocketFacts, ...] = ()
    libraries: tuple[FileFacts, ...] = ()


class ProcessReleased(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """The tracer let a process and its future children go to the poll sensor, for the reason given."""

    at_ns: int
    process: ProcessId
    reason: str
    mnt_ns: int = 0


FileChange = Literal[
    "created", "written", "moved_in", "moved_out", "deleted", "attributes", "linked", "found", "opened"
]
"""found: when the watch began, or began anew after a gap, the file was there and had changed since the baseline.
opened: it was opened for reading and nothing of it changed; told of a short list of files only."""


class FileChanged(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A file or directory changed. `file.path` is as seen in the container; `file` is read after the change.

    `kind` is the sort of content: `elf`, `script` (starts with #!), `dir`, `other`, or empty when unread.
    `actor` is the process that did it, with `attribution` saying how that is known.
    """

    at_ns: int
    change: FileChange
    file: FileFacts
    mnt_ns: int = 0
    kind: Literal["elf", "script", "dir", "other", ""] = ""
    actor: ProcessId | None = None
    attribution: Attribution = "unknown"


class LibraryLoaded(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A process has a new or changed ELF file mapped, or was started with orders to load one (`how`)."""

    at_ns: int
    process: ProcessId
    library: FileFacts
    how: Literal["mapped", "ld_preload", "ld_so_preload"] = "mapped"
    mnt_ns: int = 0
    attribution: Attribution = "exact"


class ConnectionOpened(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A TCP connection was asked for (a SYN seen) or accepted (`answered`: the SYN-ACK was seen).

    `source` sent the SYN. `owner` is the process of our side: of the source where `direction` is outbound.
    On loopback both ends are ours, and each has its own event.
    """

    at_ns: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    direction: Direction = "unknown"
    answered: bool = False
    protocol: Literal["tcp", "udp"] = "tcp"
    owner: ProcessId | None = None
    attribution: Attribution = "unknown"
    socket_inode: int = 0
    mnt_ns: int = 0
    net_ns: int = 0


class NameQueried(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A DNS question was sent. `name` is lower case without the last dot, `record_type` such as `A` or `AAAA`."""

    at_ns: int
    name: str
    record_type: str
    transport: Literal["udp", "tcp"] = "udp"
    server: str = ""
    server_port: int = 53
    source_port: int = 0
    owner: ProcessId | None = None
    attribution: Attribution = "unknown"
    mnt_ns: int = 0
    net_ns: int = 0


class NameResolved(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A DNS answer arrived: the addresses and aliases it gave for `name`. `code` is the RCODE (`NOERROR`, …)."""

    at_ns: int
    name: str
    record_type: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    code: str = "NOERROR"
    server: str = ""
    ttl_s: int = 0
    mnt_ns: int = 0
    net_ns: int = 0


class ServerNamed(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A TLS ClientHello named the server it wants (SNI)."""

    at_ns: int
    name: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    owner: ProcessId | None = None
    attribution: Attribution = "unknown"
    mnt_ns: int = 0
    net_ns: int = 0


class StdioTied(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A shell's standard streams were found to lead to a remote end, through `holder`.

    `tie` says how: `socket` (its own descriptor is the connection), `pty` (a terminal whose master is held by
    the process with the connection), `pipe-through-relay` (a process that has nothing but the connection and the
    channel), `pipe-near-socket` (a busy process with some connection). `via` are the steps in words.
    """

    at_ns: int
    process: ProcessId
    tie: Tie
    direction: Direction
    holder: ProcessId | None = None
    local: str = ""
    local_port: int = 0
    remote: str = ""
    remote_port: int = 0
    via: tuple[str, ...] = ()
    mnt_ns: int = 0


class SyscallMade(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """A system call that is rare enough to be told of by name.

    `arguments` are by Falco's names (`evt.arg.…`). `attribution` is inferred where the call was worked out of what
    it left behind, or of the command line of a program that exists to make it.
    """

    at_ns: int
    process: ProcessId
    name: str
    arguments: dict[str, str] = {}
    result: int = 0
    attribution: Attribution = "exact"
    mnt_ns: int = 0


class SightLost(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """Something was not seen, and this says what: sense, reason, and how many events, where that is known.

    `standing`: a limit of the sight that was had from the start (a bound on watches, say), not a loss of it.
    `tampered`: nothing was lost yet, but somebody changed what the sidecar itself may do, and `reason` says what.
    """

    at_ns: int
    sense: str
    reason: str
    lost: int | None = None
    since_ns: int = 0
    standing: bool = False
    tampered: bool = False


class FileHashed(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """The digests of a new file that a process runs were worked out, and the threat lists say something of them.

    `digests` are in lower hexadecimal by algorithm (`sha256`, `sha1`, `md5`), those that the lists have.
    """

    at_ns: int
    process: ProcessId
    file: FileFacts
    digests: dict[str, str] = {}
    mnt_ns: int = 0


class FilesWatched(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """From `since_ns` on, no change of a file of a container goes unseen, as far as `sensor` sees.

    An empty `sensor` says that this container's files cannot be watched so, and `reason` why.
    """

    at_ns: int
    mnt_ns: int
    sensor: str
    since_ns: int = 0
    reason: str = ""


class ContainerSeen(Struct, frozen=True, gc=False, tag=True, tag_field="event"):
    """What the container in a mount namespace is; the events of that `mnt_ns` are its own.

    Told before the first of them in each batch, and again when more became known. What is not known is empty.
    """

    at_ns: int
    mnt_ns: int
    id: str
    name: str = ""
    image: str = ""
    task_arn: str = ""
    cluster: str = ""
    family: str = ""
    revision: str = ""


Event = (
    ProcessStarted
    | ProcessExecuted
    | ProcessExited
    | ProcessReleased
    | FileChanged
    | LibraryLoaded
    | ConnectionOpened
    | NameQueried
    | NameResolved
    | ServerNamed
    | StdioTied
    | SyscallMade
    | SightLost
    | FileHashed
    | FilesWatched
    | ContainerSeen
)
