"""A container in small that makes files when told to: a mount namespace of its own, an overlay on a tmpfs.

Each line on stdin is a number of files; the answer is how many seconds they took, and of
processor time. The files are deleted afterwards.
"""

import ctypes
import os
import shutil
import sys
import time
from pathlib import Path

NEW_MOUNTS = 0x00020000
PRIVATE = 0x44000
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    kinds = kind.encode() or None
    check(LIBC.mount(source.encode(), target.encode(), kinds, ctypes.c_ulong(flags), options.encode() or None))


def enter(base: str) -> None:
    """Live in an overlay of this machine from now on; the parent of this process stays where its layers are seen."""
    check(LIBC.unshare(NEW_MOUNTS))
    mount("none", "/", "", PRIVATE)
    mount("layers", base, "tmpfs")
    if os.fork():
        os.wait()
        os._exit(0)
    check(LIBC.unshare(NEW_MOUNTS))
    for name in ("upper", "work", "merged"):
        Path(base, name).mkdir()
    layers = f"lowerdir=/,upperdir={base}/upper,workdir={base}/work"
    mount("overlay", f"{base}/merged", "overlay", 0, layers)
    Path(base, "merged/bench").mkdir(parents=True)
    os.chdir(f"{base}/merged")
    check(LIBC.pivot_root(b".", b"."))
    check(LIBC.umount2(b".", 2))
    os.chdir("/bench")


def create(count: int) -> tuple[float, float]:
    """Make so many files, one byte in each: seconds, and seconds of processor time."""
    Path("files").mkdir()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for number in range(count):
        fd = os.open(f"files/{number}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        os.write(fd, b"x")
        os.close(fd)
    return time.perf_counter() - began_s, time.process_time() - began_cpu_s


if __name__ == "__main__":
    enter(sys.argv[1])
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        print(*create(int(line)), flush=True)
        shutil.rmtree("files")
        print("gone", flush=True)
