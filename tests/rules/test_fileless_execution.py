"""Fileless Execution: hits, and as many near misses."""

import msgspec
import pytest
from transcripts import Transcript, file, ran

FILELESS = [("DefenseEvasion:Runtime/FilelessExecution", "HIGH")]

MEMFD = file("/memfd:payload (deleted)", changed=50, nlink=0)
UNLINKED = file("/tmp/x (deleted)", changed=50, nlink=0)
RUNC = file("/memfd:runc_cloned:/proc/self/exe (deleted)", changed=50, nlink=0)

HITS = {
    "a memfd": [ran(5, MEMFD, "[kworker/0:1]")],
    "a memfd without its deleted mark": [ran(5, file("/memfd:x", changed=50, nlink=0))],
    "a file that was unlinked before it ran": [ran(5, UNLINKED)],
    "an O_TMPFILE file": [ran(5, file("/tmp/#1234 (deleted)", changed=50, nlink=0))],
    "an old program of the image, unlinked": [ran(5, file("/usr/bin/x (deleted)", changed=-5, nlink=0))],
    "found running, inside": [msgspec.structs.replace(ran(5, MEMFD), seen="found")],
    "named like the runtime's own, but run inside": [ran(5, RUNC)],
    "from outside, executed here": [ran(5, MEMFD, parent=None)],
    "a script in memory": [ran(5, "/bin/sh", "/bin/sh", "/dev/fd/3", script=MEMFD)],
    "a deleted script": [ran(5, "/usr/bin/python3", "python3", "/proc/self/fd/3", script=UNLINKED)],
    "a program in memory handed to ld.so": [ran(5, "/lib64/ld.so.2", "ld.so", "/proc/9/fd/4", script=MEMFD)],
    "a new interpreter with a script in memory": [ran(5, file("/tmp/sh", changed=50), "sh", "/x", script=MEMFD)],
    "a script in memory below a build tool": [
        ran(4, "/usr/bin/make", "make"),
        ran(5, "/bin/sh", "sh", "/dev/fd/3", script=MEMFD, parent=4),
    ],
}

MISSES = {
    "the container runtime's first step": [msgspec.structs.replace(ran(5, RUNC, parent=None), seen="found")],
    "its first step under the root's name": [
        msgspec.structs.replace(ran(5, file("/", changed=50, nlink=0), parent=None), seen="found")
    ],
    "the runtime's first step, then the image's program": [
        msgspec.structs.replace(ran(5, RUNC, parent=None), seen="found"),
        ran(5, "/usr/bin/app", parent=None),
    ],
    "a program of the image": [ran(5, "/usr/bin/curl")],
    "a file whose name says deleted and which has one": [ran(5, file("/srv/x (deleted)"))],
    "a file with memfd in its name": [ran(5, file("/srv/memfd:x"))],
    "a program whose facts could not be read": [ran(5, file("/usr/bin/gone", ino=0))],
    "a new script by a descriptor": [ran(5, "/bin/sh", "sh", "/dev/fd/3", script=file("/tmp/x.sh", changed=50))],
    "a script whose facts could not be read": [ran(5, "/bin/sh", "sh", "/dev/fd/3", script=file("/dev/fd/3", ino=0))],
    "a shell that reads a pipe by name": [ran(5, "/bin/sh", "sh", "/dev/fd/63")],
    "an old script with a hard link": [ran(5, "/bin/sh", "sh", "/a.sh", script=file("/a.sh", nlink=2))],
}


@pytest.mark.parametrize("name", HITS)
def test_a_program_without_a_file_is_told(name, transcript):
    """Whatever it calls itself, a program that no directory names is found, and is not also called drift."""
    assert transcript.tell(*HITS[name]) == FILELESS


@pytest.mark.parametrize("name", MISSES)
def test_a_program_with_a_file_is_not(name):
    """Names prove nothing, and a runtime's first step came from outside and has executed nothing here."""
    story = Transcript(watched=("/usr/bin",))
    story.tell(ran(1, "/usr/sbin/nginx", parent=None, when=1))
    assert [f for f in story.tell(*MISSES[name]) if "Fileless" in f[0]] == []
