"""What is held of files around an overflow of inotify's queue, and around a loss between the watch and the engine."""

import os
import time
from functools import partial
from pathlib import Path

from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.sensors.files.watching import CTIME_BEFORE_NS
from outrider_sidecar.sight import Sight
from outrider_sidecar.world.drift import DriftRecord
from outrider_wire.events import FileChanged, SightLost

DEADLINE_S = 15.0
OLD_NS = 1_000_000_000


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def overflow(container, seen, *, amid):
    """Change more than the kernel queues while the sensor stands still; `amid` is done when the queue is full."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    teller, stalled, before = seen.sensor._watching._teller, [True], len(seen.losses)
    emit = teller._emit

    def wait_and_emit(event):
        while stalled:
            time.sleep(0.005)
        emit(event)

    teller._emit = wait_and_emit
    fd = os.open(container.path("/tmp"), os.O_RDONLY)
    for number in range(limit + 5_000):
        os.close(os.open(f"{number}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.unlink(f"{number}", dir_fd=fd)
    os.close(fd)
    amid()
    stalled.clear()
    teller._emit = emit
    wait_until(lambda: len(seen.losses) > before)


def test_an_overflow_is_a_doubt_of_its_own_time(container, watch):
    """Attributes that were heard before it prove what they did; what changed in it is undecided, also when it changes
    again; and so it is while the directories are gone through once more.
    """
    for name in ("true", "tool"):
        os.utime(container.layers[0] / "usr/bin" / name, ns=(OLD_NS, OLD_NS))
    baseline_ns = time.time_ns()
    seen = watch()
    seen.sensor.add_root(container.mnt_ns, container.pid, baseline_ns=baseline_ns)
    seen.settle()
    record = DriftRecord(baseline_ns, partial(seen.sensor.sight, container.mnt_ns))
    heard, dropped = container.path("/usr/bin/tool"), container.path("/usr/bin/dropped")
    wait_until(lambda: time.time_ns() > baseline_ns + 30_000_000)  # a tick of the file system's clock
    heard.chmod(0o700)
    watching = seen.sensor._watching
    wait_until(lambda: watching._told_until_ns > heard.stat().st_ctime_ns + CTIME_BEFORE_NS)

    def drop():
        dropped.write_bytes(Path("/bin/true").read_bytes())
        os.utime(dropped, ns=(OLD_NS, OLD_NS))

    def verdicts():
        for event in seen.changes:
            record.observe(event)
        files = {"/usr/bin/tool": heard, "/usr/bin/dropped": dropped}
        return [record.judge(file_facts(path, os.stat(at))).verdict for path, at in files.items()]

    overflow(container, seen, amid=drop)
    dropped.chmod(0o755)
    assert verdicts()[0] == "old" and verdicts()[1] != "old"
    root = watching._tree.roots[container.mnt_ns]
    wait_until(lambda: root.gaps and root.gaps[-1].until_ns < time.time_ns())
    dropped.chmod(0o700)
    seen.catch_up()
    assert verdicts()[0] == "old" and verdicts()[1] != "old"
    container.path("/usr/bin/true").chmod(0o700)
    seen.catch_up()
    assert record.judge(file_facts("/usr/bin/true", os.stat(container.path("/usr/bin/true")))).verdict == "old"


def test_what_is_lost_on_the_way_to_the_engine_was_not_told_of_either(guarded):
    """The intake was full: a time of which silence proves nothing, as where the kernel's own queue was."""
    container, seen = guarded
    sight = seen.sensor.sight(container.mnt_ns, "/tmp")
    assert isinstance(sight, Sight)
    at_ns = sight.since_ns + 1_000
    seen.sensor.learn(SightLost(at_ns, "engine", "full", 3, since_ns=at_ns - 10))
    seen.sensor.learn(SightLost(at_ns + 100, "network", "full", 3, since_ns=at_ns))
    sight = seen.sensor.sight(container.mnt_ns, "/tmp")
    assert sight is not None
    assert [sight.was_had(at_ns + late) for late in (-11, -10, 0, 1, 50)] == [True, False, False, True, True]
    assert not any(isinstance(event, FileChanged) for event in seen.events)
