"""Reading of listed files: told once, with who has the file open, and not told where it was written."""

import os
import subprocess
import sys
import time

import pytest

from outrider_sidecar.linux.inotify import Inotify
from outrider_sidecar.sensors import reads
from outrider_sidecar.sensors.reads import ReadSensor
from outrider_wire.events import FileChanged, SightLost

NOBODY_OF_OURS = 0
"""A mount namespace that no process has: everything counts as guarded."""
OUR_MNT_NS = os.stat("/proc/self/ns/mnt").st_ino
"""Other mount namespaces of this machine may show the same files, and are told of for themselves."""


class Watch:
    """A sensor whose list is a few files of the test's own."""

    def __init__(self, tmp_path, monkeypatch):
        self.file, self.folder = tmp_path / "secret", tmp_path / "keys"
        self.file.write_text("secret")
        self.folder.mkdir()
        monkeypatch.setattr(reads, "FILES", (os.fsencode(self.file),))
        monkeypatch.setattr(reads, "DIRECTORIES", (os.fsencode(self.folder),))
        monkeypatch.setattr(reads, "IN_HOMES", ())
        self.now_ns = time.time_ns()
        self.sensor = ReadSensor(NOBODY_OF_OURS, clock=lambda: self.now_ns)
        self.events: list[FileChanged | SightLost] = []
        self.watches = Inotify()
        self.sensor.scan(self.watches, self.events.append)

    def look(self) -> list[FileChanged]:
        """What came of what was done since the last look, of our own files."""
        self.events.clear()
        self.sensor.tell(self.watches.read(), self.events.append)
        ours = (str(self.file), str(self.folder))
        changes = [e for e in self.events if isinstance(e, FileChanged) and e.mnt_ns == OUR_MNT_NS]
        return [e for e in changes if e.file.path.startswith(ours)]


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Set up, and its watches closed afterwards."""
    watch = Watch(tmp_path, monkeypatch)
    yield watch
    watch.watches.close()


def test_a_file_that_is_held_open_is_told_of_with_its_reader(watch):
    """While it is open its reader is found; its closing is nothing new."""
    with open(watch.file):
        (event,) = watch.look()
        assert event.actor is not None
    assert (event.change, event.actor.pid, event.attribution) == ("opened", os.getpid(), "inferred")
    assert watch.look() == []


def test_a_file_read_and_closed_is_told_of_once(watch):
    """Who read it is not known any more, and not made up."""
    watch.file.read_text()
    watch.file.read_text()
    (event,) = watch.look()
    assert (event.file.path, event.actor, event.attribution) == (str(watch.file), None, "unknown")


def test_writing_is_not_reading(watch):
    """Nor is the reading of what was just written, which our own file watch does."""
    watch.file.write_text("other")
    assert watch.look() == []
    watch.file.read_text()
    assert watch.look() == []


def test_a_file_in_a_listed_directory_is_told_of_by_its_name(watch):
    """The directory's own opening is told only of who holds it."""
    (watch.folder / "id").write_text("key")
    watch.look()
    watch.now_ns += reads.QUIET_NS
    (watch.folder / "id").read_text()
    os.listdir(watch.folder)
    assert [event.file.path for event in watch.look()] == [str(watch.folder / "id")]


def test_the_environment_of_a_process_is_told_of_and_its_watch_goes_with_it(tmp_path, monkeypatch):
    """Read by anybody through the same /proc; a watch would keep the inode of a process that is gone."""
    monkeypatch.setattr(reads, "MAX_ENVIRONMENTS", 100_000)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        watch = Watch(tmp_path, monkeypatch)
        with open(f"/proc/{child.pid}/environ", "rb") as environment:
            environment.read()
        watch.look()
        told = [e.file.path for e in watch.events if isinstance(e, FileChanged)]
        child.communicate(b"\n")
    watch.sensor.scan(watch.watches, watch.events.append)
    kept = {pid for _, pid in watch.sensor._environments}
    watch.watches.close()
    assert f"/proc/{child.pid}/environ" in told
    assert child.pid not in kept


def test_what_is_read_faster_than_the_bound_is_counted(watch, monkeypatch):
    """Past the bound nothing is told but how much was not."""
    monkeypatch.setattr(reads, "MAX_TOLD_EACH_S", 0)
    watch.file.read_text()
    assert watch.look() == []
    watch.sensor.scan(watch.watches, watch.events.append)
    (lost,) = [event.lost for event in watch.events if isinstance(event, SightLost)]
    assert lost is not None
    assert lost >= 1


def test_more_files_than_the_bound_are_said(watch, monkeypatch):
    """A standing limit, told once."""
    monkeypatch.setattr(reads, "MAX_WATCHES", 1)
    for _ in range(2):
        watch.sensor.scan(watch.watches, watch.events.append)
    assert [event.standing for event in watch.events if isinstance(event, SightLost)] == [True]
