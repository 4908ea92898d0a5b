"""Programs that start amid a storm of files: they are read while the files are told of, not after."""

import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from overlays import Overlay, make_image, watching

from outrider_sidecar.sensors.host.marks import TAKE_EVERY
from outrider_sidecar.sensors.host.options import NoMarks
from outrider_wire.events import FileChanged

from .conftest import DEADLINE_S, wait_until

HELD, LOOKS = 0, 1


class LongDrain(NoMarks):
    """A file watch that has more to tell of for as long as it is held, and counts how often it lets others in."""

    def __init__(self, page: mmap.mmap) -> None:
        self._words = memoryview(page).cast("Q")

    def drain(self, _emit: object, meanwhile: Callable[[], None] = lambda: None) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while self._words[HELD] and time.monotonic() < deadline:
            meanwhile()
            self._words[LOOKS] += 1
            time.sleep(0.001)


@pytest.fixture
def page() -> Iterator[mmap.mmap]:
    made = mmap.mmap(-1, mmap.PAGESIZE)
    yield made


def test_a_program_that_is_over_before_the_files_are_told_of_is_known_whole(container, look, page: mmap.mmap) -> None:
    """It starts, is read and ends while files are told of: nothing of it is missing."""
    looking = look(marks=lambda: LongDrain(page))
    words = memoryview(page).cast("Q")
    words[HELD] = 1
    wait_until(lambda: words[LOOKS] > 1, "a drain")
    read_end, write_end = os.pipe()
    pid = container.spawn("cat", stdin=read_end)
    wait_until(lambda: os.readlink(f"/proc/{pid}/exe").endswith("/cat"), "the program")
    looks = words[LOOKS]
    wait_until(lambda: words[LOOKS] > looks + 2, "a look at what is urgent")
    os.close(write_end)
    assert container.wait(pid) == 0
    assert not looking.executed("cat", container.mnt_ns)  # its own files may not have been told of
    words[HELD] = 0
    wait_until(lambda: looking.executed("cat", container.mnt_ns), "the program's start")
    looking.end()
    os.close(read_end)
    (told,) = looking.executed("cat", container.mnt_ns)
    assert (told.seen, told.missing, told.argv) == ("exec", (), ("cat",))
    words.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="fanotify marks of file systems need root")
def test_others_are_let_in_after_few_files(tmp_path: Path) -> None:
    """However many files are told of in one turn; and a container that goes meanwhile is told of no more."""
    with watching() as watch:
        container = Overlay(tmp_path / "c", layers="tmpfs", lower=str(make_image(tmp_path / "image")))
        try:
            watch.add(container)
            container.do("for n in range(5000):\n put(f'/tmp/{n}')")
            told, between = 0, list[int]()
            emitted = watch.events.append

            def count(event: object) -> None:
                nonlocal told
                told += isinstance(event, FileChanged)
                emitted(event)  # type: ignore[arg-type]

            def let_in() -> None:
                nonlocal told
                between.append(told)
                told = 0
                if len(between) == 20:
                    watch.marks.remove_container(container.mnt_ns)

            deadline = time.monotonic() + DEADLINE_S
            while len(between) < 20:
                assert time.monotonic() < deadline
                watch.marks.drain(count, let_in)  # type: ignore[arg-type]
            assert 0 < max(between) <= 2 * TAKE_EVERY  # a file that was made and written is told of twice at most
            before = len(watch.changes(container))
            watch.settle()
            assert len(watch.changes(container)) == before
        finally:
            container.stop()
