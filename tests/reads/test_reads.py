"""Reading of listed files: told once, with who has the file open, and not told where it was written."""

import os
import subprocess
import sys
import threading
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


@pytest.mark.parametrize("way", ["made", "renamed", "home"])
def test_what_comes_into_being_is_watched_soon(watch, monkeypatch, tmp_path, way):
    """A file that is made or put in another's place, or a directory that may be a home, asks for another scan."""
    monkeypatch.setattr(reads, "ABOVE", (os.fsencode(tmp_path),))
    monkeypatch.setattr(reads, "_NAMES", frozenset((b"secret",)))
    watch.sensor.scan(watch.watches, watch.events.append)
    assert not watch.sensor.tell(watch.watches.read(), watch.events.append)
    if way == "made":
        watch.file.unlink()
        watch.file.write_text("new")
    elif way == "renamed":
        (tmp_path / "draft").write_text("new")
        (tmp_path / "draft").rename(watch.file)
    else:
        (tmp_path / "somebody").mkdir()
    assert watch.sensor.tell(watch.watches.read(), watch.events.append)
    watch.sensor.scan(watch.watches, watch.events.append)
    watch.now_ns += reads.QUIET_NS
    watch.file.read_text()
    assert [event.file.path for event in watch.look()] == [str(watch.file)]


def test_another_name_in_the_same_place_asks_for_nothing(watch, monkeypatch, tmp_path):
    """A busy directory is no reason to go through the list."""
    monkeypatch.setattr(reads, "ABOVE", (os.fsencode(tmp_path),))
    watch.sensor.scan(watch.watches, watch.events.append)
    watch.look()
    (tmp_path / "other").write_text("x")
    assert not watch.sensor.tell(watch.watches.read(), watch.events.append)


def test_a_new_container_is_looked_at_before_the_engine_goes_on(tmp_path, monkeypatch):
    """Not at the next scan of all, which is seconds away; and nobody waits where the sensor is gone."""
    sensor = ReadSensor(NOBODY_OF_OURS)
    monkeypatch.setattr(reads, "FILES", (os.fsencode(tmp_path / "secret"),))
    monkeypatch.setattr(reads, "RESCAN_S", 60.0)
    monkeypatch.setattr(reads, "LOOK_S", 5.0)
    events: list[FileChanged | SightLost] = []
    stop = threading.Event()
    thread = threading.Thread(target=sensor.run, args=(events.append, stop), daemon=True)
    thread.start()
    while not sensor.looked:
        time.sleep(0.001)
    (tmp_path / "secret").write_text("secret")
    sensor.look_again()
    (tmp_path / "secret").read_text()
    deadline_s = time.monotonic() + 5.0
    while not any(isinstance(e, FileChanged) and e.file.path == str(tmp_path / "secret") for e in events):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    stop.set()
    thread.join()
    monkeypatch.setattr(reads, "LOOK_S", 0.01)
    before_s = time.monotonic()
    sensor.look_again()
    assert time.monotonic() - before_s < 1.0
