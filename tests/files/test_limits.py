"""What the file watch does at its limits: it goes on, and says what it did not see."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from outrider_sidecar.sensors.files.watching import Watching

STORM = 20_000
DEADLINE_S = 30.0


class Turns:
    """The loop of a sensor that is started now stands still until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._may_turn, self._holds = threading.Event(), threading.Event()
        self._until: Callable[[], bool] = lambda: False
        take_turn = Watching._turn

        def take_turn_and_hold(watching: Watching) -> bool:
            self._may_turn.wait(DEADLINE_S)
            has_more = take_turn(watching)
            if not self._holds.is_set() and self._until():
                self._may_turn.clear()
                self._holds.set()
            return has_more

        monkeypatch.setattr(Watching, "_turn", take_turn_and_hold)

    def go_on_until(self, condition: Callable[[], bool]) -> None:
        """Let the loop take turns; it stands still after the one at whose end the condition holds."""
        self._until = condition
        self._may_turn.set()
        assert self._holds.wait(DEADLINE_S)

    def go_on(self) -> None:
        """For good."""
        self._may_turn.set()


def test_of_a_storm_of_creations_all_are_seen_or_the_loss_is_told(guarded):
    """20,000 files as fast as they can be made: each is told of, or a SightLost says since when not."""
    container, seen = guarded
    directory = container.path("/tmp/storm")
    directory.mkdir()
    seen.catch_up()
    fd = os.open(directory, os.O_RDONLY)
    for count in range(STORM):
        os.close(os.open(f"f{count}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    seen.catch_up()
    told = {event.file.path for event in seen.changes if event.change == "created"}
    missed = [count for count in range(STORM) if f"/tmp/storm/f{count}" not in told]
    losses = [loss for loss in seen.losses if "overflow" in loss.reason]
    assert not missed or losses


def test_a_real_overflow_is_told_of_and_looked_into(container, watch):
    """More changes than the kernel queues while the sensor is busy: SightLost, and the program among them is found."""
    stalled = {"on": False}
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    seen.settle()
    append, limit = seen.events.append, int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watching = seen.sensor._watching

    def waiting(event: object) -> None:
        while stalled["on"]:
            time.sleep(0.005)
        append(event)

    watching._teller._emit = waiting
    stalled["on"] = True
    fd = os.open(container.path("/tmp"), os.O_RDONLY)
    for count in range(limit + 5000):
        os.close(os.open(f"f{count}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    path = container.path("/usr/bin/dropped")
    path.write_bytes(Path("/bin/true").read_bytes())
    stalled["on"] = False
    seen.wait_for("/usr/bin/dropped", "found")
    assert any("overflow" in loss.reason and loss.since_ns for loss in seen.losses)
    assert seen.of("/usr/bin/dropped")[-1].kind == "elf"


def test_a_reached_bound_is_told_of_with_its_number(container, watch):
    """With a bound of 24 directories the rest is counted, once, and new directories still have room."""
    for count in range(20):
        container.path(f"/usr/lib/d{count}").mkdir()
    seen = watch(per_container=24, reserved=4)
    seen.sensor.add_root(container.mnt_ns, container.pid)
    deadline = time.monotonic() + 10
    while not seen.losses:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    container.path("/tmp/new").mkdir()
    seen.catch_up()
    container.path("/tmp/new/x").write_text("x")
    seen.wait_for("/tmp/new/x", "created")
    assert len(seen.losses) == 1
    loss = seen.losses[0]
    assert (loss.sense, loss.lost is not None and 10 <= loss.lost <= 20) == ("file", True)
    assert "24 directories" in loss.reason and str(container.mnt_ns) in loss.reason


def test_important_places_come_first(container, watch):
    """Where there is room for few, scratch directories are watched and libraries are not."""
    container.path("/usr/lib/late").mkdir()
    seen = watch(per_container=10, reserved=0)
    seen.sensor.add_root(container.mnt_ns, container.pid)
    seen.settle()
    container.path("/usr/lib/late/x").write_text("x")
    container.path("/dev/shm/x").write_text("x")
    seen.wait_for("/dev/shm/x", "created")
    assert not seen.of("/usr/lib/late/x")


def test_a_small_bound_is_spent_on_places_and_leaves_a_quarter_to_what_appears_later(container, watch):
    """A bound below what is kept back by default: places are watched, and of what lies below them three quarters."""
    for count in range(60):
        container.path(f"/usr/lib/d{count}").mkdir()
    seen = watch(per_container=40, total=40)
    seen.sensor.add_root(container.mnt_ns, container.pid)
    seen.settle()
    assert seen.sensor.directories == 30


def test_a_huge_tree_starves_no_other_and_loses_its_deepest_first(container, watch):
    """With 600 directories in /root and 200 watches: every place, all of /etc and /opt, and /root's upper levels."""
    for count in range(600):
        container.path(f"/root/a{count % 20}/b/c{count}").mkdir(parents=True)
    container.path("/etc/deep/er/still").mkdir(parents=True)
    container.path("/opt/app/bin").mkdir(parents=True)
    container.path("/usr/local/sbin").mkdir(parents=True)
    seen = watch(per_container=200, reserved=8)
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    seen.settle()
    watched = (
        "/usr/bin",
        "/usr/local/sbin",
        "/tmp",
        "/etc/cron.d",
        "/etc/deep/er/still",
        "/opt/app/bin",
        "/root/a19/b",
    )
    unseen = [path for path in watched if seen.sensor.sight(container.mnt_ns, path) is None]
    assert unseen == []
    deepest = [f"/root/a{count % 20}/b/c{count}" for count in range(600)]
    assert any(seen.sensor.sight(container.mnt_ns, path) is None for path in deepest)


def test_places_are_watched_before_what_lies_below_any(container, watch, monkeypatch):
    """`important_done` becomes true while directories still wait, and the program directories are watched then."""
    for count in range(3_000):
        container.path(f"/root/d{count}").mkdir()
    turns = Turns(monkeypatch)
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    assert not seen.sensor.important_done()
    turns.go_on_until(seen.sensor.important_done)
    left = seen.sensor.left
    assert seen.sensor.sight(container.mnt_ns, "/usr/bin") is not None
    assert seen.sensor.sight(container.mnt_ns, "/etc") is not None
    assert left > 500 and not seen.sensor.settled()
    turns.go_on()
    seen.settle()
    assert seen.sensor.left == 0


def test_an_earlier_baseline_during_the_scan_makes_nothing_found_that_did_not_change(container, watch, monkeypatch):
    """The container's name arrives while it is scanned: directories in line stay there, and their files are old."""
    for count in range(1_000):
        container.path(f"/usr/lib/d{count}/e").mkdir(parents=True)
        container.path(f"/usr/lib/d{count}/e/x").write_text("#!/bin/sh\n")
    time.sleep(0.03)
    baseline_ns = time.time_ns()
    time.sleep(0.03)
    container.path("/usr/lib/d999/e/late").write_text("#!/bin/sh\n")
    time.sleep(0.03)
    turns = Turns(monkeypatch)
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    turns.go_on_until(lambda: seen.sensor.left >= 500)
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=baseline_ns)
    turns.go_on()
    seen.settle()
    assert [event.file.path for event in seen.changes if event.kind == "script"] == ["/usr/lib/d999/e/late"]
    assert seen.sensor.sight(container.mnt_ns, "/usr/lib/d0/e") is not None


def test_a_program_directory_that_becomes_known_at_the_bound_is_watched(container, watch):
    """The reserve is left to own levels of places, also where new directories have used what they may of it."""
    for count in range(100):
        container.path(f"/usr/lib/d{count}").mkdir()
    container.path("/data/programs").mkdir(parents=True)
    seen = watch(per_container=64, reserved=16)
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=time.time_ns())
    seen.settle()
    for count in range(100):
        container.path(f"/tmp/new{count}").mkdir()
    seen.catch_up()
    seen.sensor.add_root(container.mnt_ns, container.pid, ("/data/programs",), baseline_ns=time.time_ns())
    seen.settle()
    assert seen.sensor.sight(container.mnt_ns, "/data/programs") is not None


def test_the_end_of_a_first_scan_is_told_of_once(container, watch):
    """With how many directories are watched and how many were left out."""
    for count in range(40):
        container.path(f"/usr/lib/d{count}").mkdir()
    seen = watch(per_container=32, reserved=4)
    seen.sensor.add_root(container.mnt_ns, container.pid)
    deadline = time.monotonic() + 10
    while not seen.losses:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    container.path("/tmp/x").mkdir()
    seen.catch_up()
    assert [(mnt_ns, directories) for mnt_ns, directories, _ in seen.scanned] == [(container.mnt_ns, 28)]
    assert seen.scanned[0][2] == seen.losses[0].lost


def test_depth_is_bounded_and_told_of(container, watch):
    """Directories deeper than the bound are counted."""
    container.path("/tmp/" + "/".join("abcdefghij")).mkdir(parents=True)
    seen = watch(depth=5)
    seen.sensor.add_root(container.mnt_ns, container.pid)
    deadline = time.monotonic() + 10
    while not seen.losses:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "deeper than 5" in seen.losses[0].reason


WITHOUT_INSTANCES = """
import os, resource, threading
from outrider_sidecar.linux.inotify import Inotify
from outrider_sidecar.sensors.files import FileSensor, probe_inotify
from outrider_wire.errors import Unavailable
wake = os.eventfd(0)
used = []
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
try:
    while True:
        used.append(Inotify())
except Unavailable:
    pass
capability = probe_inotify()
assert not capability.available and "max_user_instances" in capability.remedy, capability
sensor, seen, stop = FileSensor(), [], threading.Event()
thread = threading.Thread(target=sensor.run, args=(seen.append, stop))
thread.start()
while not seen:
    pass
stop.set()
thread.join()
print(type(seen[0]).__name__, seen[0].sense, seen[0].reason)
"""


def test_when_all_instances_are_used_up_it_is_told_of_with_the_remedy():
    """EMFILE at open makes the probe say no, and the sensor tell of its loss and go on trying."""
    result = subprocess.run([sys.executable, "-c", WITHOUT_INSTANCES], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("SightLost file no inotify instance")
    assert "max_user_instances" in result.stdout


def test_used_up_watches_are_told_of_with_the_remedy(guarded, monkeypatch):
    """ENOSPC at a new directory is told of, and the sensor goes on."""
    container, seen = guarded

    def refuse(fd: int, mask: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(seen.sensor._watches, "add_descriptor", refuse)
    container.path("/tmp/new").mkdir()
    deadline = time.monotonic() + 10
    while not seen.losses:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "max_user_watches" in seen.losses[0].reason
    container.path("/tmp/x").write_text("x")
    assert seen.wait_for("/tmp/x", "created")


def test_a_container_that_cannot_be_reached_is_told_of(container, watch):
    """Processes live and none leads to the root (a reused pid, a chroot): said once, and tried anew when added anew."""
    child = subprocess.Popen(["true"])
    child.wait()
    living = [os.getpid()]
    seen = watch(pids_of=lambda _: living)
    seen.sensor.add_root(container.mnt_ns, child.pid)
    deadline = time.monotonic() + 10
    while not seen.losses:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "no living process" in seen.losses[0].reason
    living[:] = [container.pid]
    seen.sensor.add_root(container.mnt_ns, child.pid)
    seen.settle()
    container.path("/tmp/x").write_text("x")
    assert seen.wait_for("/tmp/x", "created")


def test_a_container_that_ended_is_nothing_to_be_told_of(watch):
    """Where no process is left there is nothing to be blind to."""
    child = subprocess.Popen(["true"])
    child.wait()
    seen = watch()
    seen.sensor.add_root(1234, child.pid)
    seen.catch_up()
    assert seen.events == []
