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
_MEMORY: Final = """
import os
fd = os.memfd_create("payload", 0)
os.set_inheritable(fd, True)
os.write(fd, {content})
{run}
"""


def _from_memory(content: str, run: str) -> str:
    return f"{{python}} -c '{_MEMORY.replace('{content}', content).replace('{run}', run)}'"


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
    Scenario(
        name="fileless-script",
        idea="a script with an interpreter line lies in memory and is executed by its descriptor",
        command=_from_memory('b"#!/bin/sh\\necho script ran\\n"', 'os.execve(fd, ["x"], {})'),
        finding=FILELESS,
        expect="script ran",
    ),
    Scenario(
        name="fileless-script-argument",
        idea="a shell is given a script in memory by the name of its descriptor",
        command=_from_memory('b"echo script ran\\n"', 'os.execv("/bin/sh", ["sh", "/proc/self/fd/%d" % fd])'),
        finding=FILELESS,
        expect="script ran",
    ),
    Scenario(
        name="fileless-script-deleted",
        idea="a script is deleted before a shell reads it through a descriptor",
        command="echo 'echo script ran' >/tmp/gone.sh; exec 3</tmp/gone.sh; rm /tmp/gone.sh; sh /dev/fd/3",
        finding=FILELESS,
        expect="script ran",
    ),
    Scenario(
        name="fileless-by-loader",
        idea="the dynamic loader is told to run a program that lies in memory",
        command=_from_memory(
            'open("/bin/true", "rb").read()',
            'import glob; loader = (glob.glob("/lib64/ld-linux-*.so.2") + glob.glob("/lib/ld-linux-*.so.1"))[0]\n'
            'os.execv(loader, ["ld.so", "/proc/self/fd/%d" % fd])',
        ),
        finding=FILELESS,
    ),
)
