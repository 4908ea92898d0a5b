"""What is to be known of a program the moment it starts, read while it is held at its exec stop.

The guarded program waits while this runs, so the order and number of system calls is the design:

- one O_PATH descriptor of /proc/PID, which stays open to serve the exit stop; every name is looked up from there;
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
from functools import lru_cache
from pathlib import Path
from typing import Final

from outrider_sidecar.decode.environ import kept_environment
from outrider_sidecar.decode.preload import ordered_names
from outrider_sidecar.decode.script import asked_to_run
from outrider_sidecar.decode.status import parse_ids
from outrider_sidecar.linux import ptrace
from outrider_sidecar.linux.descriptors import read_descriptor_at
from outrider_sidecar.linux.directories import Directories
from outrider_sidecar.linux.named import linked_files, named_file
from outrider_sidecar.linux.procfs import PROC, Stat, file_facts, parse_stat
from outrider_sidecar.linux.stack import MAX_ARGV_BYTES, InitialStack, decode_stack, is_64_bit
from outrider_wire.events import Descriptor, FileFacts, ProcessExecuted, ProcessId, Seen, SocketFacts
from outrider_wire.text import clean_text

FindSockets = Callable[[Iterable[int], Iterable[int]], dict[int, SocketFacts]]
"""The sockets with these inodes, which these processes hold."""
"""Facts of the sockets with these inode numbers, as far as sock_diag(7) knows them. Raises OSError."""

STACK_BYTES: Final = 20 * 1024
"""Read at first: the kernel leaves a random gap of up to 8 KiB below the strings."""
MAX_ENVIRONMENT_BYTES: Final = 128 * 1024
MAX_KNOWN_NAMESPACES: Final = 1024
_READ: Final = os.O_RDONLY | os.O_CLOEXEC
NO_BIRTH: Final = Stat(0, "", "", 0, 0, 0, 0, 0, 0)
NO_STACK: Final = InitialStack(argv=[], environment=b"")

_kept_environment = lru_cache(maxsize=1)(kept_environment)
"""One program started again and again has one environment: comparing it is a tenth of taking it apart."""


class Captured:
    """What was read while the process was held; `event` makes the record of it, when there is time."""

    __slots__ = (
        *("argv", "at_ns", "birth", "cgroup", "cwd", "exe_path", "exe_status", "execfn", "missing", "mnt_ns", "pid"),
        *("ordered", "script", "seen", "sensor", "sockets", "stack", "start_ticks", "stdio"),
    )

    def __init__(self, pid: int, seen: Seen, start_ticks: int, sensor: str) -> None:
        self.pid = pid
        self.seen = seen
        self.start_ticks = start_ticks
        self.sensor = sensor
        self.at_ns = time.time_ns()
        self.missing: list[str] = []
        self.birth: Stat | None = None
        self.exe_path = self.cwd = self.execfn = self.cgroup = ""
        self.exe_status: os.stat_result | None = None
        self.mnt_ns = 0
        self.stdio: tuple[Descriptor, ...] = ()
        self.sockets: tuple[SocketFacts, ...] = ()
        self.stack = NO_STACK
        self.argv: tuple[str, ...] = ()
        self.script: FileFacts | None = None
        self.ordered: tuple[FileFacts, ...] = ()

    @property
    def process(self) -> ProcessId:
        return ProcessId(self.pid, self.birth.start_ticks if self.birth else self.start_ticks)

    def is_telling(self, young_ns: int) -> bool:
        """Whether an attack begins so: a file that is gone or changed after `young_ns`, or streams that are sockets."""
        status, script = self.exe_status, self.script
        if status is None or not status.st_nlink or status.st_ctime_ns >= young_ns or self.sockets:
            return True
        return script is not None and (not script.nlink or script.ctime_ns >= young_ns)

    def event(self, parent: ProcessId | None) -> ProcessExecuted:
        """The record of what was read."""
        birth, stack, status = self.birth or NO_BIRTH, self.stack, self.exe_status
        return ProcessExecuted(
            at_ns=self.at_ns,
            process=self.process,
            parent=parent,
            seen=self.seen,
            comm=birth.comm,
            exe=file_facts(self.exe_path, status) if status else FileFacts(path=self.exe_path),
            argv=self.argv,
            execfn=self.execfn,
            env=_kept_environment(stack.environment),
            cwd=self.cwd,
            uid=stack.uid,
            euid=stack.euid,
            gid=stack.gid,
            egid=stack.egid,
            tty=birth.tty,
            pgid=birth.pgid,
            sid=birth.sid,
            stdio=self.stdio,
            sockets=self.sockets,
            script=self.script,
            mnt_ns=self.mnt_ns,
            cgroup=self.cgroup,
            missing=tuple(self.missing),
            sensor=self.sensor,
            ordered=self.ordered,
        )


class FactReader:
    """Reads programs at their exec stop, or while they run; remembers which mount namespaces it has told of."""

    def __init__(self, *, find_sockets: FindSockets | None = None, proc: Path = PROC, sensor: str = "attach") -> None:
        self._find_sockets = find_sockets
        self._proc = str(proc)
        self._sensor = sensor
        self._known_namespaces: set[int] = set()
        self.directories = Directories(proc)

    def read(self, pid: int, *, parent: ProcessId | None, seen: Seen) -> ProcessExecuted:
        """What a process runs. Never raises ProcessGone: what could not be read stands in `missing`."""
        try:
            return self.capture(pid, seen=seen).event(parent)
        finally:
            self.directories.close(pid)

    def capture(
        self,
        pid: int,
        *,
        seen: Seen = "exec",
        start_ticks: int = 0,
        mnt_ns: tuple[int, int] = (0, 0),
        stdio: tuple[Descriptor, ...] = (),
    ) -> "Captured":
        """Read all that will be gone or changed later; with `seen` "exec" the process must be at its exec stop.

        `mnt_ns` is the mount namespace it had, and the device of the program it ran there: where the device is
        still the same, so is the container, and the namespace is not read again. `stdio` are its descriptors as
        read before, of it or of its parent. The directory of the process stays open in `directories`.
        """
        captured = Captured(pid, seen, start_ticks, self._sensor)
        try:
            here = self.directories.open(pid)
        except OSError:
            captured.missing.append("process")
            return captured
        self._fill(captured, here, mnt_ns, stdio)
        return captured

    def _fill(self, captured: "Captured", here: int, before: tuple[int, int], stdio: tuple[Descriptor, ...]) -> None:
        missing = captured.missing
        captured.birth = birth = _birth(here, missing)
        captured.exe_path, captured.exe_status = exe_path, status = _exe(here, missing)
        captured.cwd = cwd = _link(here, b"cwd", missing, "cwd")
        same = before[0] and status is not None and before[1] == status.st_dev
        captured.mnt_ns = mnt_ns = before[0] if same else _mount_namespace(here, missing)
        captured.stdio, inodes = _stdio(here, stdio)
        pointer = birth.stack if birth and captured.seen == "exec" else 0
        captured.stack = stack = self._initial_stack(captured.pid, here, pointer, missing)
        captured.argv = argv = tuple([clean_text(word, limit=MAX_ARGV_BYTES) for word in stack.argv])
        captured.execfn = execfn = clean_text(stack.execfn)
        if b"LD_PRELOAD" in stack.environment or b"LD_AUDIT" in stack.environment:
            names = ordered_names(kept_environment(stack.environment), cwd)
            captured.ordered = linked_files(self._proc, captured.pid, names)
        if len(argv) > 1 and (script := asked_to_run(exe_path, argv, execfn)):
            captured.script = self._script_facts(captured.pid, script, cwd, missing)
        if mnt_ns not in self._known_namespaces:
            captured.cgroup = self._cgroup(here, mnt_ns, missing)
        if inodes:  # takes longest, and can be asked when the process has ended
            guides = (captured.pid, birth.ppid) if birth is not None else (captured.pid,)
            captured.sockets = self.sockets(guides, inodes, missing)

    def forget_namespace(self, mnt_ns: int) -> None:
        """The last process of a mount namespace ended: its number may be given to another."""
        self._known_namespaces.discard(mnt_ns)

    def forget_namespaces(self) -> None:
        """Tell the cgroup of each once more."""
        self._known_namespaces.clear()

    def sockets(self, pids: Iterable[int], inodes: Iterable[int], missing: list[str]) -> tuple[SocketFacts, ...]:
        """Facts of sockets, as many as are known, in the networks of these processes, a holder's and its parent's.

        `missing` gets "sockets" where the kernel won't tell.
        """
        if self._find_sockets is None:
            missing.append("sockets")
            return ()
        try:
            return tuple(self._find_sockets(inodes, pids).values())
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

    def _script_facts(self, pid: int, script: str, cwd: str, missing: list[str]) -> FileFacts | None:
        path = script if script.startswith("/") else f"{cwd.rstrip('/')}/{script}"
        try:
            return named_file(self._proc, pid, os.fsencode(path))
        except (OSError, ValueError):
            missing.append("script")
            return FileFacts(path=path)

    def _cgroup(self, here: int, mnt_ns: int, missing: list[str]) -> str:
        if not mnt_ns:
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


def _birth(here: int, missing: list[str]) -> Stat | None:
    try:
        return parse_stat(_content(here, "stat", 1024))
    except (OSError, ValueError):
        missing.append("stat")
        return None


def _exe(here: int, missing: list[str]) -> tuple[str, os.stat_result | None]:
    try:
        return clean_text(os.readlink(b"exe", dir_fd=here)), os.stat("exe", dir_fd=here)
    except OSError:
        missing.append("exe")
        return "", None


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


def _stdio(here: int, before: tuple[Descriptor, ...]) -> tuple[tuple[Descriptor, ...], list[int]]:
    """Descriptors 0 to 2, and the inodes of those that are sockets."""
    found, sockets = [], []
    for fd in (0, 1, 2):
        try:
            descriptor = read_descriptor_at(here, fd, before[fd] if fd < len(before) else None)
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
