"""New libraries in running processes, on a real overlay: found by maps, once for each process."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outrider_sidecar.linux.procfs import file_facts, read_stat
from outrider_sidecar.sensors import libraries
from outrider_sidecar.sensors.libraries import LibrarySensor
from outrider_sidecar.sensors.library_table import LibraryTable, NewLibrary, loaded_new_libraries
from outrider_wire.events import Event, FileChanged, FileFacts, LibraryLoaded, ProcessExited, ProcessId

DEADLINE_S = 10.0
LOAD = "import ctypes; ctypes.CDLL({!r})"


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Loads:
    """What a running library sensor told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.wanted: list[bool] = []

    def paths(self) -> list[str]:
        return [event.library.path for event in self.events if isinstance(event, LibraryLoaded)]


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A shared object that does nothing."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    base = tmp_path_factory.mktemp("library")
    (base / "x.c").write_text("int answer(void) { return 42; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", base / "x.so", base / "x.c"], check=True)
    return base / "x.so"


@pytest.fixture
def sensing(container) -> Iterator[tuple[LibrarySensor, Loads]]:
    """A library sensor over the one process of a container."""
    loads, stop = Loads(), threading.Event()
    sensor = LibrarySensor(pids_of=lambda _: [container.pid], wanted=loads.wanted.append)
    thread = threading.Thread(target=sensor.run, args=(loads.events.append, stop))
    thread.start()
    yield sensor, loads
    stop.set()
    thread.join()


def _new(container, inside: str) -> FileChanged:
    facts = file_facts(inside, os.stat(container.path(inside)))
    return FileChanged(time.time_ns(), "created", facts, mnt_ns=container.mnt_ns, kind="elf")


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is found by the watch alone: the slow sweep does not come."""
    monkeypatch.setattr(libraries, "SWEEP_NS", 3600 * 1_000_000_000)


@pytest.mark.parametrize("inside", ["/tmp/x.so", "/usr/lib/lib x\nnew.so", "/home/me/x.so.1 (deleted)"])
def test_a_library_that_is_loaded_later_is_told_of_at_once(no_sweep, container, sensing, library, inside):
    """The watch on the file leads to the process, without the slow sweep."""
    sensor, loads = sensing
    shutil.copy(library, container.path(inside))
    sensor.remember(_new(container, inside))
    _wait_until(lambda: sensor._by_wd)
    container.do(LOAD.format(inside))
    _wait_until(loads.paths)
    (event,) = [event for event in loads.events if isinstance(event, LibraryLoaded)]
    assert event.library.path == inside
    assert event.process == read_stat(container.pid).process
    assert (event.how, event.attribution, event.mnt_ns) == ("mapped", "exact", container.mnt_ns)


def test_a_library_that_was_loaded_before_it_was_known_is_found(container, sensing, library):
    """A look follows at once when a file is remembered; and each process is told of once."""
    sensor, loads = sensing
    shutil.copy(library, container.path("/tmp/x.so"))
    event = _new(container, "/tmp/x.so")
    container.do(LOAD.format("/tmp/x.so"))
    sensor.remember(event)
    _wait_until(loads.paths)
    sensor.remember(event)
    container.do(LOAD.format("/tmp/x.so"))
    time.sleep(0.3)
    assert loads.paths() == ["/tmp/x.so"]


def test_a_library_deleted_after_loading_is_found(container, sensing, library):
    """The mapping keeps the file; device and inode tell that it is the one."""
    sensor, loads = sensing
    shutil.copy(library, container.path("/tmp/x.so"))
    event = _new(container, "/tmp/x.so")
    container.do(LOAD.format("/tmp/x.so"))
    container.path("/tmp/x.so").unlink()
    sensor.remember(event)
    _wait_until(loads.paths)


def test_a_library_renamed_after_loading_is_found(container, sensing, library):
    """maps shows the new name; the file under it is looked at."""
    sensor, loads = sensing
    shutil.copy(library, container.path("/tmp/x.so"))
    event = _new(container, "/tmp/x.so")
    container.do(LOAD.format("/tmp/x.so"))
    container.path("/tmp/x.so").rename(container.path("/tmp/y"))
    sensor.remember(event)
    _wait_until(loads.paths)


def test_a_library_of_the_image_is_not_told_of(container, sensing, library):
    """Only what was remembered as new is, though a neighbour with the same content is loaded too."""
    sensor, loads = sensing
    for name in ("image.so", "new.so"):
        shutil.copy(library, container.path(f"/usr/lib/{name}"))
    event = _new(container, "/usr/lib/new.so")
    sensor.remember(event)
    container.do(LOAD.format("/usr/lib/image.so"))
    time.sleep(0.3)
    assert loads.paths() == []
    container.do(LOAD.format("/usr/lib/new.so"))
    _wait_until(loads.paths)
    assert loads.paths() == ["/usr/lib/new.so"]


def test_a_file_only_read_or_mapped_without_execution_is_not_told_of(container, sensing, library):
    """Reading a library, as a scanner does, is not loading it."""
    sensor, loads = sensing
    shutil.copy(library, container.path("/tmp/x.so"))
    sensor.remember(_new(container, "/tmp/x.so"))
    container.do("import mmap; held = mmap.mmap(os.open('/tmp/x.so', 0), 4096, prot=mmap.PROT_READ)")
    time.sleep(0.3)
    assert loads.paths() == []


def test_a_process_is_no_library_of_itself(sensing, container, tmp_path):
    """A new program that runs has itself mapped; that is no library load, and needs no watch."""
    sensor, loads = sensing
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "x.c").write_text("#include <unistd.h>\nint main(void) { pause(); return 0; }\n")
    subprocess.run(["gcc", "-static", "-o", container.path("/tmp/program"), tmp_path / "x.c"], check=True)
    child = subprocess.Popen([container.path("/tmp/program")])
    try:
        _wait_until(lambda: os.readlink(f"/proc/{child.pid}/exe").endswith("program"))
        sensor._pids_of = lambda _: [container.pid, child.pid]
        sensor.remember(_new(container, "/tmp/program"))
        _wait_until(lambda: len(sensor.table))
        time.sleep(0.3)
        assert loads.paths() == []
        assert not sensor._by_wd
    finally:
        child.kill()
        child.wait()


def test_the_tracer_is_asked_for_mappings_only_while_new_libraries_are_about(container, sensing, library):
    """wanted(True) at the first, wanted(False) when the container is gone; other events change nothing."""
    sensor, loads = sensing
    shutil.copy(library, container.path("/tmp/x.so"))
    event = _new(container, "/tmp/x.so")
    sensor.remember(FileChanged(0, "created", event.file, mnt_ns=container.mnt_ns, kind="script"))
    sensor.remember(FileChanged(0, "deleted", event.file, mnt_ns=container.mnt_ns, kind="elf"))
    sensor.remember(event)
    sensor.remember(event)
    _wait_until(lambda: loads.wanted)
    sensor.forget_root(container.mnt_ns)
    _wait_until(lambda: len(loads.wanted) == 2)
    assert loads.wanted == [True, False]


PROCESS = ProcessId(7, 70)
NEW = NewLibrary(1, FileFacts("/tmp/x.so", dev=41, ino=12), map_dev=40)
PROGRAM = NewLibrary(1, FileFacts("/tmp/p", dev=41, ino=13), map_dev=40, program=True)


def _exit(*files: FileFacts) -> ProcessExited:
    return ProcessExited(5, PROCESS, 0, libraries=files)


AT_EXIT = [
    ("the file itself", FileFacts("/tmp/x.so", dev=41, ino=12), None, ["/tmp/x.so"]),
    ("with the overlay's device", FileFacts("/tmp/x.so (deleted)", dev=40, ino=12), None, ["/tmp/x.so"]),
    ("another inode", FileFacts("/tmp/x.so", dev=41, ino=99), None, []),
    ("another device", FileFacts("/tmp/x.so", dev=8, ino=12), None, []),
    ("a program, where the exe is unknown", FileFacts("/tmp/p", dev=41, ino=13), None, []),
    ("the process's own program", FileFacts("/tmp/x.so", dev=41, ino=12), NEW.file, []),
    ("another process's program", FileFacts("/tmp/p", dev=41, ino=13), NEW.file, ["/tmp/p"]),
]


@pytest.mark.parametrize(("file", "exe", "paths"), [case[1:] for case in AT_EXIT], ids=[case[0] for case in AT_EXIT])
def test_what_a_process_had_at_its_exit(file, exe, paths):
    """New files among its mappings are libraries it loaded, told of once."""
    table = LibraryTable()
    table.remember(NEW)
    table.remember(PROGRAM)
    loaded = loaded_new_libraries(_exit(file), table, 1, exe=exe)
    assert [event.library.path for event in loaded] == paths
    assert loaded_new_libraries(_exit(file), table, 1, exe=exe) == []
    assert loaded_new_libraries(_exit(file), table, 2, exe=exe) == []


def test_the_table_is_bounded_and_counts_what_it_forgets():
    """The oldest file goes first."""
    table = LibraryTable(max_libraries=3)
    for ino in range(1, 6):
        table.remember(NewLibrary(1, FileFacts(f"/{ino}", dev=1, ino=ino), 1))
    assert [library.file.ino for library in table.of_root(1)] == [3, 4, 5]
    assert table.forgotten == 2
