"""A container in small: a cgroup named as ECS names it, a mount namespace, and a root of its own. Needs root.

It is for tests and figures that want real containers in milliseconds. A keeper process holds the mount namespace, and
whoever is spawned enters by itself and executes a program there, as a container runtime's first process does. Nothing
is left: the mounts go with the namespace, the cgroups by `remove`.
"""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from outrider_lab.cgroups import CGROUPS
from outrider_sidecar.linux import prctl
from outrider_sidecar.linux.libc import check, function

NEW_MOUNTS: Final = 0x00020000
BIND: Final = 0x1000
PRIVATE: Final = 1 << 18
RECURSIVE: Final = 1 << 14
DETACH: Final = 2
REMOVE_WITHIN_S: Final = 10.0

_unshare = function("unshare", ctypes.c_int)
_setns = function("setns", ctypes.c_int, ctypes.c_int)
_mount = function("mount", *[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_pivot_root = function("pivot_root", ctypes.c_char_p, ctypes.c_char_p)
_umount = function("umount2", ctypes.c_char_p, ctypes.c_int)


class Enclosure:
    """One container. `id` is its name in the cgroup path, `mnt_ns` its mount namespace.

    `top` is a cgroup of the caller's, None for none: what looks like a service with mounts of its own. `scratch` is an
    empty directory. With `overlay` its root is a copy-on-write one of the machine's, else it is the machine's.
    """

    def __init__(self, top: Path | None, number: int, scratch: Path, *, overlay: bool = True) -> None:
        task = f"{os.getpid():032x}"
        self.id = f"{task}-{number}"
        self.cgroup = top / "ecs" / task / self.id if top else None
        if self.cgroup:
            self.cgroup.mkdir(parents=True)
        self._scratch = str(scratch)
        self._overlay = overlay
        self.pids: list[int] = []
        self.keeper = _fork_until_ready(self._keep)
        self.mnt_ns = os.stat(f"/proc/{self.keeper}/ns/mnt").st_ino

    def spawn(self, *command: str, stdin: int = -1, stdout: int = -1, env: dict[str, str] | None = None) -> int:
        """Start a program in it, and give its pid."""
        namespace = os.open(f"/proc/{self.keeper}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            try:
                prctl.set_parent_death_signal(signal.SIGKILL)
                if self.cgroup:
                    (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))
                check(_setns(namespace, NEW_MOUNTS), "setns")
                for fd, number in ((stdin, 0), (stdout, 1)):
                    if fd >= 0:
                        os.dup2(fd, number)
                os.execvpe(command[0], list(command), env if env is not None else dict(os.environ))
            finally:
                os._exit(127)
        os.close(namespace)
        self.pids.append(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Wait for a program; its exit code, negative for a signal."""
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def run(self, *command: str, env: dict[str, str] | None = None) -> int:
        """Run a program to its end; its exit code."""
        return self.wait(self.spawn(*command, env=env))

    def remove(self) -> None:
        """End everything in it."""
        members = (self.cgroup / "cgroup.procs").read_text().split() if self.cgroup else ()
        for pid in {*map(int, members), *self.pids, self.keeper}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for pid in (*self.pids, self.keeper):
            os.waitpid(pid, 0)

    def _keep(self, say_ready: Callable[[], None]) -> None:
        check(_unshare(NEW_MOUNTS), "unshare")
        _mount_at("none", "/", "none", PRIVATE | RECURSIVE)
        if self._overlay:
            self._make_root()
        say_ready()
        signal.pause()

    def _make_root(self) -> None:
        base = self._scratch
        _mount_at("scratch", base, "tmpfs")
        for name in ("upper", "work", "root"):
            Path(base, name).mkdir()
        layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
        _mount_at("overlay", f"{base}/root", "overlay", data=layers)
        _mount_at("proc", f"{base}/root/proc", "proc")
        _mount_at("/dev", f"{base}/root/dev", "none", BIND | RECURSIVE)
        os.chdir(f"{base}/root")
        check(_pivot_root(b".", b"."), "pivot_root")
        check(_umount(b".", DETACH), "umount2")


@contextmanager
def own_cgroup(name: str) -> Iterator[Path]:
    """A cgroup for enclosures, in the hierarchy of pids or the only one; removed with all below it afterwards."""
    top = (CGROUPS / "pids" if (CGROUPS / "pids").is_dir() else CGROUPS) / name
    top.mkdir(exist_ok=True)
    try:
        yield top
    finally:
        for folder, _, _ in os.walk(top, topdown=False):
            _remove_soon(Path(folder))


def _remove_soon(folder: Path) -> None:
    """The kernel lets go of the last member a moment after its end."""
    deadline_s = time.monotonic() + REMOVE_WITHIN_S
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _mount_at(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    check(_mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()), f"mount {target}")


def _fork_until_ready(run: Callable[[Callable[[], None]], None]) -> int:
    """Fork a child that dies with us, and wait until it says that it is ready. Raises RuntimeError if it never is."""
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            prctl.set_parent_death_signal(signal.SIGKILL)
            os.close(ready)
            run(lambda: os.close(told) if os.write(told, b"r") else None)
        finally:
            os._exit(1)
    os.close(told)
    try:
        if os.read(ready, 1) != b"r":
            os.waitpid(pid, 0)
            raise RuntimeError("the enclosure's root could not be made")
    finally:
        os.close(ready)
    return pid
