"""Root in the guarded container tries to look into every process that is not its own, again and again.

`pry.py TOKEN`: prints `prying`, goes on until standard input ends, then prints one JSON object: which processes it
met, how often it tried what, and what it could read. Opening counts as reading where the kernel checks at open; an
empty file or folder is what a process that ends leaves.
"""

import ctypes
import json
import os
import select
import sys

PTRACE_SEIZE, PTRACE_DETACH, PTRACE_ATTACH = 0x4206, 17, 16
SYS_PROCESS_VM_READV, SYS_KCMP, SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 310, 312, 434, 438
FILES = ("environ", "mem", "maps", "auxv", "stack", "smaps", "numa_maps", "pagemap", "io", "personality", "syscall")
LINKS = ("exe", "cwd", "root", "ns/mnt")
FOLDERS = ("map_files", "root")
MAX_FDS = 40
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Pry:
    """What was met, tried and read."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.own = os.readlink("/proc/self/ns/mnt")
        self.met: dict[str, str] = {}
        self.tries: dict[str, int] = {}
        self.read: dict[str, list[object]] = {}
        self.rounds = 0

    def look(self) -> None:
        self.rounds += 1
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1" and self.is_foreign(name):
                self.pry(name)

    def is_foreign(self, pid: str) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/ns/mnt") != self.own
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def pry(self, pid: str) -> None:
        before = self.named(pid)
        for what, attempt in self.attempts(pid):
            self.tries[what] = self.tries.get(what, 0) + 1
            try:
                content = attempt()
            except OSError:
                continue
            if content and self.is_foreign(pid):  # it may have entered our own container meanwhile
                self.read.setdefault(f"{before} {what}", [len(content), self.token in content])

    def named(self, pid: str) -> str:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read(200).replace(b"\0", b" ").decode(errors="replace").strip()
            with open(f"/proc/{pid}/comm", "rb") as file:
                name = f"{file.read(40).decode(errors='replace').strip()}: {words}"
        except OSError:
            return "gone"
        self.met[pid] = name
        return name

    def attempts(self, pid: str):
        here = f"/proc/{pid}"
        for name in FILES:
            yield name, lambda name=name: read(f"{here}/{name}")
        for name in LINKS:
            yield name, lambda name=name: os.readlink(f"{here}/{name}").encode()
        for name in FOLDERS:
            yield f"{name}/", lambda name=name: "\n".join(os.listdir(f"{here}/{name}")).encode()
        yield "root/outrider", lambda: "\n".join(os.listdir(f"{here}/root/outrider")).encode()
        yield "task/environ", lambda: read(f"{here}/task/{pid}/environ")
        for fd in range(MAX_FDS) if self.rounds % 8 == 0 else range(3):
            yield "fd", lambda fd=fd: os.readlink(f"{here}/fd/{fd}").encode()
            yield "fd open", lambda fd=fd: read(f"{here}/fd/{fd}")
            yield "fdinfo", lambda fd=fd: read(f"{here}/fdinfo/{fd}")
        yield "process_vm_readv", lambda: read_memory(int(pid))
        yield "pidfd_getfd", lambda: get_descriptor(int(pid))
        yield "kcmp", lambda: call(SYS_KCMP, os.getpid(), int(pid), 1, 0, 0)
        yield "ptrace", lambda: seize(int(pid))


def read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 65536)
    except OSError:
        if path.endswith(("/mem", "/pagemap")):
            return b"opened"  # the kernel checks at open; only the place that was read was wrong
        raise
    finally:
        os.close(fd)


def call(number: int, *arguments: object) -> bytes:
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")
    return b"done"


def read_memory(pid: int) -> bytes:
    here = ctypes.create_string_buffer(64)
    ours, theirs = Iovec(ctypes.addressof(here), 64), Iovec(0x400000, 64)
    try:
        return call(SYS_PROCESS_VM_READV, pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)
    except OSError as error:
        if error.errno == 14:  # EFAULT: allowed, only the address was wrong
            return b"allowed"
        raise


def get_descriptor(pid: int) -> bytes:
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    if pidfd < 0:
        raise OSError(ctypes.get_errno(), "")
    try:
        return call(SYS_PIDFD_GETFD, pidfd, 2, 0)
    finally:
        os.close(pidfd)


def seize(pid: int) -> bytes:
    for request in (PTRACE_SEIZE, PTRACE_ATTACH):
        if libc.ptrace(request, pid, None, None) == 0:
            libc.ptrace(PTRACE_DETACH, pid, None, None)
            return b"traced"
    raise OSError(ctypes.get_errno(), "")


def main() -> None:
    pry = Pry(sys.argv[1].encode())
    print("prying", flush=True)
    while not select.select([0], [], [], 0)[0]:
        pry.look()
    print(json.dumps({"met": pry.met, "tries": pry.tries, "read": pry.read, "rounds": pry.rounds}), flush=True)


main()
