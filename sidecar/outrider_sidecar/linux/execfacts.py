"""What is to be known of a program the moment it starts, read while it is held at its exec stop.

The guarded program waits while this runs, so the order and number of system calls is the design:

- one O_PATH descriptor of /proc/PID; every name is looked up from there;
- `stat` gives parent, group, session, terminal, start time, name, and the stack pointer (startstack, field 28:
  at the exec stop nothing has been pushed yet), so that no register is read;
- one process_vm_readv of the stack gives arguments, environment, ids and AT_EXECFN (see stack.py);
- `exe` is read as a link and then followed: that stat is of the very inode that runs, also when it is unlinked;
- descriptors 0 to 2 as descriptors.py reads them;
- the mount namespace is read where the program lies on another device than the last one: whoever enters another
  container runs from another overlay;
- `cgroup` costs as much as four links and is read once for each mount namespace.

What cannot be read is named in `missing` and keeps its default: nothing is made up. A 32-bit program, or one
with more arguments than fit one read, is read from cmdline, environ and status instead.
"""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_sidecar.decode.environ import kept_environment
from outrider_sidecar.decode.script import asked_to_run
from outrider_sidecar.linux import ptrace
from outrider_sidecar.linux.descriptors import read_descriptor_at
from outrider_sidecar.linux.procfs import PROC, file_facts, read_bytes
from outrider_sidecar.linux.rootpath import stat_in_root
from outrider_sidecar.linux.stack import MAX_ARGV_BYTES, InitialStack, decode_stack, is_64_bit
from outrider_wire.events import Descriptor, FileFacts, ProcessExecuted, ProcessId, Seen, SocketFacts
from outrider_wire.text import clean_text

FindSockets = Callable[[Iterable[int]], dict[int, SocketFacts]]
"""Facts of the sockets with these inode numbers, as far as sock_diag(7) knows them. Raises OSError."""

STACK_BYTES: Final = 20 * 1024
"""Read at first: the kernel leaves a random gap of up to 8 KiB below the strings."""
MAX_ENVIRONMENT_BYTES: Final = 128 * 1024
MAX_KNOWN_NAMESPACES: Final = 1024
_LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_CLOEXEC
_ID_LIMIT: Final = 1 << 32


class Birth(Struct, frozen=True, gc=False):
    """The fields of proc_pid_stat(5) that matter at an exec; the number is the manual's."""

    comm: str  # 2
    state: str  # 3
    ppid: int  # 4
    pgid: int  # 5
    sid: int  # 6
    tty: int  # 7
    start_ticks: int  # 22
    stack: int  # 28


def parse_birth(raw: bytes) -> Birth:
    """The content of a stat file. Raises ValueError for anything else."""
    opening, closing = raw.find(b"("), raw.rfind(b")")
    rest = raw[closing + 1 :].split(None, 26)
    if opening < 0 or closing < opening or len(rest) < 26:
        raise ValueError("not a stat line")
    return Birth(
        comm=clean_text(raw[opening + 1 : closing], limit=64),
        state=clean_text(rest[0], limit=1),
        ppid=int(rest[1]),
        pgid=int(rest[2]),
        sid=int(rest[3]),
        tty=int(rest[4]),
        start_ticks=int(rest[19]),
        stack=int(rest[25]),
    )


class FactReader:
    """Reads programs at their exec stop, or while they run; remembers which mount namespaces it has told of."""

    def __init__(self, *, find_sockets: FindSockets | None = None, proc: Path = PROC, sensor: str = "attach") -> None:
        self._find_sockets = find_sockets
        self._proc = str(proc)
        self._sensor = sensor
        self._known_namespaces: set[int] = set()

    def read(
        self,
        pid: int,
        *,
        parent: ProcessId | None,
        seen: Seen,
        start_ticks: int = 0,
        at_ns: int | None = None,
        mnt_ns: tuple[int, int] = (0, 0),
    ) -> ProcessExecuted:
        """What a process runs; with `seen` "exec" it must be held at its exec stop. Never raises ProcessGone.

        `mnt_ns` is the mount namespace it had, and the device of the program it ran there: where the device is
        still the same, so is the container, and the namespace is not read again.
        """
        at_ns = time.time_ns() if at_ns is None else at_ns
        try:
            here = os.open(f"{self._proc}/{pid}", _LOOK)
        except OSError:
            return ProcessExecuted(
                at_ns, ProcessId(pid, start_ticks), parent, seen, missing=("process",), sensor=self._sensor
            )
        try:
            return self._read(pid, here, parent, seen, start_ticks, at_ns, mnt_ns)
        finally:
            os.close(here)

    def _read(
        self,
        pid: int,
        here: int,
        parent: ProcessId | None,
        seen: Seen,
        start_ticks: int,
        at_ns: int,
        before: tuple[int, int],
    ) -> ProcessExecuted:
        missing: list[str] = []
        birth = _birth(here, missing)
        exe = _exe(here, missing)
        cwd = _link(here, b"cwd", missing, "cwd")
        mnt_ns = before[0] if before[0] and before[1] == exe.dev else _mount_namespace(here, missing)
        stdio, inodes = _stdio(here)
        stack = self._initial_stack(pid, here, birth.stack if birth and seen == "exec" else 0, missing)
        argv = tuple(clean_text(word, limit=MAX_ARGV_BYTES) for word in stack.argv)
        execfn = clean_text(stack.execfn)
        script = asked_to_run(exe.path, argv, execfn)
        return ProcessExecuted(
            at_ns=at_ns,
            process=ProcessId(pid, birth.start_ticks if birth else start_ticks),
            parent=parent,
            seen=seen,
            comm=birth.comm if birth else "",
            exe=exe,
            argv=argv,
            execfn=execfn,
            env=kept_environment(stack.environment),
            cwd=cwd,
            uid=stack.uid,
            euid=stack.euid,
            gid=stack.gid,
            egid=stack.egid,
            tty=birth.tty if birth else 0,
            pgid=birth.pgid if birth else 0,
            sid=birth.sid if birth else 0,
            stdio=stdio,
            sockets=self.sockets(inodes, missing) if inodes else (),
            script=self._script_facts(pid, script, cwd, missing) if script else None,
            mnt_ns=mnt_ns,
            cgroup=self._cgroup(here, mnt_ns, missing),
            missing=tuple(missing),
            sensor=self._sensor,
        )

    def sockets(self, inodes: Iterable[int], missing: list[str]) -> tuple[SocketFacts, ...]:
        """Facts of sockets, as many as are known; `missing` gets "sockets" where the kernel would not tell."""
        if self._find_sockets is None:
            missing.append("sockets")
            return ()
        try:
            return tuple(self._find_sockets(inodes).values())
        except OSError:
            missing.append("sockets")
            return ()

    def _initial_stack(self, pid: int, here: int, pointer: int, missing: list[str]) -> InitialStack:
        if is_64_bit(pointer):
            for size in (STACK_BYTES, ptrace.MAX_READ_BYTES):
                try:
                    return decode_stack(ptrace.read_memory(pid, pointer, size), pointer)
                except ValueError:
                    continue
                except OSError:
                    break
        return _stack_from_files(here, missing)

    def _script_facts(self, pid: int, script: str, cwd: str, missing: list[str]) -> FileFacts:
        path = script if script.startswith("/") else f"{cwd.rstrip('/')}/{script}"
        try:
            return file_facts(path, stat_in_root(f"{self._proc}/{pid}/root", os.fsencode(path)))
        except (OSError, ValueError):
            missing.append("script")
            return FileFacts(path=path)

    def _cgroup(self, here: int, mnt_ns: int, missing: list[str]) -> str:
        if not mnt_ns or mnt_ns in self._known_namespaces:
            return ""
        if len(self._known_namespaces) >= MAX_KNOWN_NAMESPACES:
            self._known_namespaces.clear()
        try:
            text = clean_text(_content(here, "cgroup", 4096))
        except OSError:
            missing.append("cgroup")
            return ""
        self._known_namespaces.add(mnt_ns)
        return text.strip()


def _content(here: int, name: str, limit: int) -> bytes:
    fd = os.open(name, _READ, dir_fd=here)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def _birth(here: int, missing: list[str]) -> Birth | None:
    try:
        return parse_birth(_content(here, "stat", 1024))
    except (OSError, ValueError):
        missing.append("stat")
        return None


def _exe(here: int, missing: list[str]) -> FileFacts:
    path = _link(here, b"exe", missing, "exe")
    try:
        return file_facts(path, os.stat("exe", dir_fd=here))
    except OSError:
        if "exe" not in missing:
            missing.append("exe")
        return FileFacts(path=path)


def _link(here: int, name: bytes, missing: list[str], what: str) -> str:
    try:
        return clean_text(os.readlink(name, dir_fd=here))
    except OSError:
        missing.append(what)
        return ""


def _mount_namespace(here: int, missing: list[str]) -> int:
    try:
        return os.stat("ns/mnt", dir_fd=here).st_ino
    except OSError:
        missing.append("mnt_ns")
        return 0


def _stdio(here: int) -> tuple[tuple[Descriptor, ...], list[int]]:
    """Descriptors 0 to 2, and the inodes of those that are sockets."""
    found, sockets = [], []
    for fd in (0, 1, 2):
        try:
            descriptor = read_descriptor_at(here, fd)
        except OSError:
            continue  # closed: a program may start without it
        found.append(descriptor)
        if descriptor.target.startswith("socket:["):
            sockets.append(descriptor.inode)
    return tuple(found), sockets


def _stack_from_files(here: int, missing: list[str]) -> InitialStack:
    argv: list[bytes] = []
    environment = b""
    uids = gids = (-1, -1)
    try:
        raw = _content(here, "cmdline", MAX_ARGV_BYTES)
        argv = raw.removesuffix(b"\0").split(b"\0") if raw else []
    except OSError:
        missing.append("argv")
    try:
        environment = _content(here, "environ", MAX_ENVIRONMENT_BYTES)
    except OSError:
        missing.append("env")
    try:
        uids, gids = parse_ids(_content(here, "status", 4096))
    except (OSError, ValueError):
        missing.append("ids")
    return InitialStack(argv=argv, environment=environment, uid=uids[0], euid=uids[1], gid=gids[0], egid=gids[1])


def parse_ids(status: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Real and effective uid, and gid, of a proc_pid_status(5) text. Raises ValueError."""
    found: dict[bytes, tuple[int, int]] = {}
    for line in status.splitlines():
        if line.startswith((b"Uid:", b"Gid:")):
            words = line[4:].split()
            if len(words) < 2 or not all(word.isdigit() and int(word) < _ID_LIMIT for word in words[:2]):
                raise ValueError("ids are not numbers")
            found.setdefault(line[:3], (int(words[0]), int(words[1])))
    if len(found) != 2:
        raise ValueError("no ids in status")
    return found[b"Uid"], found[b"Gid"]


def read_status(pid: int, *, proc: Path = PROC) -> dict[str, str]:
    """Every line of proc_pid_status(5), as text by name. Raises OSError."""
    lines = clean_text(read_bytes(f"{proc}/{pid}/status", limit=8192), limit=8192).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
