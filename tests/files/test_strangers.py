"""Libraries that no watch told of, on a real overlay: found by what is mapped, and by nothing else."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.sensors.library_table import LibraryTable, NewLibrary
from outrider_sidecar.sensors.strangers import Strangers

LOAD = "import ctypes; ctypes.CDLL({!r})"
MEMFD = "fd = os.memfd_create('payload'); os.write(fd, open('/tmp/x.so', 'rb').read()); os.unlink('/tmp/x.so')"
NOW_NS = 5


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A shared object that does nothing."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    base = tmp_path_factory.mktemp("library")
    (base / "x.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", base / "x.so", base / "x.c"], check=True)
    return base / "x.so"


class Looker:
    """Strangers over one container, whose baseline is now."""

    def __init__(self, container, *, runs: int = 0) -> None:
        self.table = LibraryTable()
        self.baseline_ns = time.time_ns() - 20_000_000
        self.runs = runs
        self._strangers = Strangers(
            self.table,
            lambda: [(container.mnt_ns, self.baseline_ns)],
            lambda mnt_ns: [(container.pid, self.runs)] if mnt_ns == container.mnt_ns else [],
        )

    def look(self) -> list[str]:
        return [event.library.path for event in self._strangers.look(NOW_NS)]


@pytest.fixture
def looker(container, library) -> Looker:
    """The container has the library at /tmp/x.so; what it started with is old."""
    looker = Looker(container)
    assert looker.look() == []
    shutil.copy(library, container.path("/tmp/x.so"))
    return looker


def test_a_library_in_memory_is_found_once(container, looker):
    """A memfd that holds ELF and is mapped executable is told of once for its process."""
    container.do(MEMFD)
    container.do("check(libc.mount(b'proc', b'/proc', b'proc', ctypes.c_ulong(0), None))")
    container.do("held = ctypes.CDLL(f'/proc/self/fd/{fd}')")
    assert looker.look() == ["/memfd:payload (deleted)"]
    assert looker.look() == []


def test_a_deleted_library_is_found(container, looker):
    """Its name is gone, and no file watch saw it."""
    container.do(LOAD.format("/tmp/x.so"))
    container.path("/tmp/x.so").unlink()
    assert looker.look() == ["/tmp/x.so"]


def test_a_new_library_with_a_name_is_found(container, looker):
    """Its ctime is after the container's creation; its facts go to the drift record."""
    container.do(LOAD.format("/tmp/x.so"))
    assert looker.look() == ["/tmp/x.so"]


def test_an_old_library_is_not(container, looker):
    """Its ctime is before the container's creation."""
    looker.baseline_ns = time.time_ns() + 10**9
    container.do(LOAD.format("/tmp/x.so"))
    assert looker.look() == []


def test_an_old_library_that_is_deleted_later_is_not(container, looker):
    """It was seen with its name: an upgrade took it away."""
    looker.baseline_ns = time.time_ns() + 10**9
    container.do(LOAD.format("/tmp/x.so"))
    assert looker.look() == []
    container.path("/tmp/x.so").unlink()
    assert looker.look() == []


def test_a_library_that_was_replaced_is_not(container, looker, library):
    """Another file has its name now, as after an upgrade."""
    container.do(LOAD.format("/tmp/x.so"))
    shutil.copy(library, container.path("/tmp/y.so"))
    container.path("/tmp/y.so").rename(container.path("/tmp/x.so"))
    assert looker.look() == []


@pytest.mark.parametrize("content", ["b'\\xc3' * 64", "b''"])
def test_compiled_code_is_no_library(container, looker, content):
    """A compiler's memfd has no ELF header."""
    container.do(f"fd = os.memfd_create('doublemapper'); os.write(fd, {content}); os.ftruncate(fd, 8192)")
    container.do("held = mmap.mmap(fd, 8192, prot=7); shared = mmap.mmap(-1, 4096, prot=7)")
    assert looker.look() == []


def test_what_the_file_watch_told_of_is_left_to_it(container, looker):
    """The table has the file: the sensor's own looks tell of it."""
    facts = file_facts("/tmp/x.so", os.stat(container.path("/tmp/x.so")))
    looker.table.remember(NewLibrary(container.mnt_ns, facts, os.stat(container.path("/")).st_dev))
    container.do(LOAD.format("/tmp/x.so"))
    assert looker.look() == []


def test_the_program_that_ld_so_runs_is_no_library(container, looker):
    """It is told of as a program, at its start."""
    looker.runs = os.stat(container.path("/tmp/x.so")).st_ino
    container.do(LOAD.format("/tmp/x.so"))
    assert looker.look() == []
