"""Fileless programs: executed from memory, or from a file that has no name any more."""

from typing import Final

from outrider_lab.attacks.scenario import FILELESS, Scenario

_MEMFD: Final = """
import os, shutil
fd = os.memfd_create("payload", 0)
with open("/bin/sleep", "rb") as source, open(fd, "wb", closefd=False) as target:
    shutil.copyfileobj(source, target)
os.execve("/proc/self/fd/%d" % fd, ["[kworker/u4:1]", "0.2"], {})
"""
_DELETED: Final = """
import os, shutil
shutil.copy("/bin/sleep", "/tmp/gone")
fd = os.open("/tmp/gone", os.O_RDONLY)
os.unlink("/tmp/gone")
os.execve("/proc/self/fd/%d" % fd, ["gone", "0.2"], {})
"""
_TMPFILE: Final = """
import os, shutil
fd = os.open("/tmp", os.O_RDWR | os.O_TMPFILE, 0o700)
with open("/bin/sleep", "rb") as source, open(fd, "wb", closefd=False) as target:
    shutil.copyfileobj(source, target)
reader = os.open("/proc/self/fd/%d" % fd, os.O_RDONLY)
os.close(fd)
os.execve("/proc/self/fd/%d" % reader, ["unnamed", "0.2"], {})
"""

FILELESS_PROGRAMS: Final = (
    Scenario(
        name="fileless-memfd",
        idea="a program is written to memory (memfd_create) and executed there, under a kernel thread's name",
        command=f"{{python}} -c '{_MEMFD}'",
        finding=FILELESS,
    ),
    Scenario(
        name="fileless-deleted",
        idea="a program's file is deleted before the program is executed through a descriptor",
        command=f"{{python}} -c '{_DELETED}'",
        finding=FILELESS,
    ),
    Scenario(
        name="fileless-unnamed",
        idea="a program is executed from a file that never had a name (O_TMPFILE)",
        command=f"{{python}} -c '{_TMPFILE}'",
        finding=FILELESS,
    ),
)
