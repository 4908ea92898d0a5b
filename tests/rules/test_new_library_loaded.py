"""New Library Loaded and its build variant: hits, and as many near misses."""

import pytest
from transcripts import NS, at, file, pid, ran

from outrider_wire.events import LibraryLoaded

NEW = [("Execution:Runtime/NewLibraryLoaded", "MEDIUM")]
LOW = [("Execution:Runtime/NewLibraryLoaded", "LOW")]


def loaded(library, *, number: int = 5, how: str = "mapped") -> LibraryLoaded:
    return LibraryLoaded(at(200), pid(number), library, how=how, mnt_ns=NS)


HITS = {
    "mapped": [ran(5, "/usr/bin/python3"), loaded(file("/tmp/x.so", changed=50))],
    "ordered by LD_PRELOAD": [ran(5, "/bin/sleep"), loaded(file("/tmp/x.so", changed=50), how="ld_preload")],
    "ordered by ld.so.preload": [ran(5, "/bin/ls"), loaded(file("/lib/y.so", changed=50), how="ld_so_preload")],
    "an overwritten library of the image": [ran(5, "/bin/ls"), loaded(file("/lib/libc.so.6", changed=50))],
    "unlinked after it was mapped": [ran(5, "/bin/ls"), loaded(file("/tmp/x.so (deleted)", changed=50, nlink=0))],
}
MISSES = {
    "a library of the image": [ran(5, "/usr/bin/python3"), loaded(file("/usr/lib/libz.so.1"))],
    "ordered, but of the image": [ran(5, "/bin/ls"), loaded(file("/usr/lib/jemalloc.so"), how="ld_preload")],
    "undecided": [ran(5, "/bin/ls"), loaded(file("/opt/x.so", changed=50, modified=-9000))],
    "just before the start": [ran(5, "/bin/ls"), loaded(file("/tmp/x.so", changed=-1))],
    "what ld.so was asked to run": [
        ran(5, "/lib64/ld-linux-x86-64.so.2", "ld.so", "/srv/tool", script=file("/srv/tool")),
        loaded(file("/srv/tool", changed=50)),
    ],
    "of an unknown container": [ran(5, "/bin/ls"), LibraryLoaded(at(9), pid(77), file("/x.so", changed=50), mnt_ns=99)],
}


@pytest.mark.parametrize("name", HITS)
def test_a_new_library_is_told(name, transcript):
    """A library whose content came after the container's creation is a medium finding about the process."""
    assert transcript.tell(*HITS[name]) == NEW
    process = transcript.found[0].process
    assert process is not None
    assert process.pid == 5


@pytest.mark.parametrize("name", MISSES)
def test_a_library_of_the_image_is_not(name, transcript):
    """Libraries of the image raise nothing, however they are loaded."""
    assert transcript.tell(*MISSES[name]) == []


def test_a_process_is_told_of_once_for_each_library(transcript):
    """Mapped twice is one finding; another library, and another process, are others."""
    library, other = file("/tmp/x.so", changed=50), file("/tmp/y.so", changed=50, ino=51)
    transcript.tell(ran(5, "/bin/ls"), ran(6, "/bin/ls"))
    assert transcript.tell(loaded(library), loaded(library), loaded(other), loaded(library, number=6)) == NEW * 3


def test_a_build_is_one_low_finding(transcript):
    """What a package manager of the image installs and loads is told of once a directory, and low."""
    transcript.tell(ran(4, "/usr/bin/pip", "pip", "install"))
    transcript.tell(*(ran(10 + n, "/usr/bin/python3", parent=4) for n in range(5)))
    assert (
        transcript.tell(*(loaded(file(f"/venv/{n}.so", changed=50, ino=60 + n), number=10 + n) for n in range(5)))
        == LOW
    )
