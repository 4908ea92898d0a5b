"""What can be seen in each mode, for honest arming: which events, how well, and what the missing ones would need.

What a field itself is less than its name promises is declared beside its function; here is what the mode decides.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec.structs import replace

from outrider_rules import Sight, Supply
from outrider_sidecar.sensors import Capability
from outrider_sidecar.sensors.files.places import NEVER_BELOW

Mode = Literal["task", "host", "watch"]

SENSORS: Final[Mapping[Mode, frozenset[str]]] = {
    "task": frozenset(("attach", "poll", "inotify", "packet", "sock_diag")),
    "host": frozenset(("connector", "attach", "poll", "fanotify", "inotify", "packet", "sock_diag")),
    "watch": frozenset(("attach", "inotify")),
}
"""What each mode can have at its best: a task with CAP_SYS_PTRACE, root on a host, a command without privilege."""

READ: Final = (
    *("/etc/shadow", "/etc/sudoers", "/etc/sudoers.d*", "/etc/pam.conf", "/etc/pam.d*", "/etc/zsh*"),
    *("/etc/security/pwquality.conf", "/etc/profile", "/etc/bashrc", "/etc/csh.cshrc", "/etc/csh.login"),
    *("/root/.*", "/home/*", "/proc/[0-9]*/environ"),
)
"""Files whose reading is told of; see sensors/reads.py."""

NOT_WATCHED: Final = tuple([path.decode() + "/" for path in NEVER_BELOW])

EXACT: Final = Supply()
POLLED: Final = Supply(weaker="processes are polled for: what lives shorter than some milliseconds is missed")
CHANGED: Final = Supply(
    weaker="of watched directories, after it was done; the process is inferred, for inotify names none",
    values={"evt.is_open_read": (False,)},
    never={"fd.name": NOT_WATCHED},
    because={"fd.name": "nothing below /proc and /sys can be watched"},
)
WAS_READ: Final = Supply(
    weaker="reading is told of a short list of files (passwords, PAM, sudo, ssh, start-up files of shells,"
    " environments of the oldest processes)",
    values={"evt.is_open_read": (True,), "evt.is_open_write": (False,), "fd.name": READ},
    because={"fd.name": "reading is told of a short list of files only"},
)
RENAMED: Final = Supply(weaker=CHANGED.weaker)
CONNECTED: Final = Supply(
    weaker="a program that ends within a millisecond may be known by its file and its parent alone"
)
MARKED: Final = Supply(weaker="after it was done", values=CHANGED.values, never=CHANGED.never, because=CHANGED.because)
MARKED_READ: Final = Supply(
    weaker="reading is told of a short list of files (passwords, PAM, sudo, ssh, start-up files of shells)",
    values=WAS_READ.values,
    because=WAS_READ.because,
)
ATTRIBUTES: Final = Supply(weaker=f"{CHANGED.weaker}; any change of attributes counts, unless the mode is known")

IN_CONTAINER: Final = Supply(
    values={"container.id": ("[0-9a-fm]*",)},
    because={"container.id": "all that is guarded in a task is in a container"},
)
IN_CONTAINERS: Final = Supply(
    values=IN_CONTAINER.values,
    because={"container.id": "only containers are guarded; guard_host guards the host's own processes too"},
)
ON_HOST: Final = Supply(
    values={"container.id": ("host",)}, because={"container.id": "a watched command is in no container"}
)

_PROCESSES: Final = ("execve", "clone", "procexit", "released")
_FILES: Final = ("rename", "unlink", "link", "symlink", "mkdir", "mknod", "file_found")
_PACKETS: Final = ("connect", "accept", "dns_query", "dns_answer", "tls_hello")
_WORKED_OUT: Final = ("library_load", "stdio_tied", "sight_lost")

_BY_COMMAND: Final[dict[str, Supply]] = {
    "unshare": Supply(weaker="only by the command line of unshare(1)", values={"evt.arg.flags": ("CLONE_*", "")}),
    "setns": Supply(weaker="only by the command line of nsenter(1)"),
    "ptrace": Supply(
        weaker="only by the command lines of strace, ltrace and gdb",
        values={"evt.arg.request": ("PTRACE_SEIZE", "PTRACE_ATTACH")},
    ),
}
PACKET_SOCKETS: Final = Supply(
    weaker="only packet sockets, found while they are open, each 0.2 s", values={"evt.arg.domain": ("AF_PACKET",)}
)
NEEDS_CALLS: Final = "the call itself is not seen: that needs the seccomp launcher (wrap) or a host's audit sensor"
_UNSEEN: Final = (
    *("dup", "listen", "recv", "bind", "mount", "umount", "setuid", "setgid", "setresuid", "init_module", "bpf"),
    *("userfaultfd", "memfd_create", "process_vm_writev", "capset", "chroot", "pivot_root", "kill", "prctl"),
)

NO_LISTS: Final = Supply(lacking="lists of digests come from a collector, which there is none of in this mode")
NO_METADATA: Final = Supply(lacking="there is no task and no metadata endpoint in this mode")
_OF_TASK: Final = (
    *("container.name", "container.image", "container.image.repository", "container.image.tag"),
    *("container.image.digest", "ecs.task_arn", "ecs.family", "ecs.cluster"),
)


def sight_of(sensors: Iterable[str], *, mode: Mode, host_too: bool = False) -> Sight:
    """What the given sensors show in a mode; `host_too`: a host's own processes are guarded besides its containers."""
    have = frozenset(sensors)
    events: dict[str, tuple[Supply, ...]] = dict.fromkeys(_UNSEEN, (Supply(lacking=NEEDS_CALLS),))
    process = _processes(have)
    events |= dict.fromkeys((*_PROCESSES, *_WORKED_OUT), (process,))
    events["file_hashed"] = (process if mode != "watch" else NO_LISTS,)
    told = not process.lacking and process is not POLLED
    events |= {name: (supply if told else _lacking("attach"),) for name, supply in _BY_COMMAND.items()}
    events |= _files(have, mode)
    events |= dict.fromkeys(_PACKETS, (EXACT if "packet" in have else _lacking("packet (CAP_NET_RAW)"),))
    lists = mode != "watch" and "sock_diag" in have
    events["socket"] = (PACKET_SOCKETS if lists else _lacking("sock_diag, in a task"),)
    fields = dict.fromkeys(_OF_TASK, NO_METADATA) if mode == "watch" else {}
    place = {"task": IN_CONTAINER, "host": EXACT if host_too else IN_CONTAINERS, "watch": ON_HOST}[mode]
    return Sight(
        {name: tuple([_at(place, supply) for supply in supplies]) for name, supplies in events.items()}, fields
    )


def _processes(have: frozenset[str]) -> Supply:
    """How starts and ends of programs are told of, by the best sense that is there."""
    for sensor, supply in (("connector", CONNECTED), ("attach", EXACT), ("poll", POLLED)):
        if sensor in have:
            return supply
    return _lacking("attach or poll")


def _files(have: frozenset[str], mode: Mode) -> dict[str, tuple[Supply, ...]]:
    """How changes and readings of files are told of."""
    if "fanotify" in have:
        return dict.fromkeys((*_FILES, "chmod"), (MARKED,)) | {"open": (MARKED, MARKED_READ)}
    if "inotify" not in have:
        return dict.fromkeys((*_FILES, "chmod", "open"), (_lacking("inotify"),))
    reads = (WAS_READ,) if mode != "watch" else ()
    return dict.fromkeys(_FILES, (RENAMED,)) | {"chmod": (ATTRIBUTES,), "open": (CHANGED, *reads)}


def best_sight(mode: Mode) -> Sight:
    """What a mode shows where nothing stands in its way."""
    return sight_of(SENSORS[mode], mode=mode)


def sight_here(capabilities: Iterable[Capability], *, mode: Mode, host_too: bool = False) -> Sight:
    """What can be seen where this runs, by what was probed."""
    return sight_of([c.sensor for c in capabilities if c.available], mode=mode, host_too=host_too)


def _lacking(sensor: str) -> Supply:
    return Supply(lacking=f"needs the sensor {sensor}, which is not to be had here")


def _at(place: Supply, supply: Supply) -> Supply:
    """A supply, for events of a place."""
    return replace(supply, values={**supply.values, **place.values}, because={**supply.because, **place.because})
