"""What is held of files around a loss of sight: real overlays and marks, and a queue past its bound."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from overlays import Overlay, Watch, make_image, watching

from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.sensors.host import searches
from outrider_sidecar.sensors.host.marked import MarkedFiles
from outrider_sidecar.sensors.host.marks import CTIME_BEFORE_NS, FileMarks
from outrider_sidecar.sensors.host.queues import Bounds
from outrider_sidecar.world.drift import DriftRecord
from outrider_wire.events import FileChanged, FilesWatched, SightLost

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify marks of file systems need root")

SMALL = Bounds(opens=50, taken_opens=128, taken_names_bytes=8_192)
STORM = "for n in range(3000):\n put(f'/tmp/{n}', '#!')"
OLD_NS = 1_000_000_000
COPY = f"""
import shutil
shutil.copy('/usr/bin/wc', '/usr/bin/dropped')
os.utime('/usr/bin/dropped', ns=({OLD_NS}, {OLD_NS}))"""


class Guarded:
    """A container under marks, with what the engine believes of it."""

    def __init__(self, watch: Watch, base: Path) -> None:
        image = make_image(base / "image")
        # on a file system of its own: what others do on this machine's would fill the queue, too
        self.container = Overlay(base / "c", layers="tmpfs", lower=str(image))
        baseline_ns = max(path.stat().st_ctime_ns for path in image.rglob("*")) + 1
        self._watch = watch
        self._marked = MarkedFiles()
        self._record = DriftRecord(baseline_ns, partial(self._marked.sight, self.container.mnt_ns))
        self._learnt = 0
        watch.add(self.container, baseline_ns)
        self.learn()

    def learn(self) -> None:
        """Take in all that the watch told, in its order."""
        for event in self._watch.events[self._learnt :]:
            self._marked.learn(event)
            if isinstance(event, FileChanged):
                self._record.observe(event)
        self._learnt = len(self._watch.events)

    def do(self, *lines: str) -> None:
        """Let the container do something, all of which is told of."""
        self.container.do(*lines)
        self._watch.settle()
        self.learn()

    def storm(self, *lines: str) -> None:
        """Let it do something amid more than is told of."""
        before = len(self.losses())
        self.do("\n".join([STORM, *lines, STORM]))
        assert len(self.losses()) > before

    def losses(self) -> list[SightLost]:
        return [event for event in self._watch.events if isinstance(event, SightLost) and not event.standing]

    def verdict(self, path: str) -> str:
        """What is held of a file as it is now."""
        status = os.stat(f"/proc/{self.container.pid}/root{path}")
        return self._record.judge(file_facts(path, status)).verdict

    def close(self) -> None:
        self._marked.close()
        self.container.stop()


Guard = Callable[[], Guarded]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching(SMALL) as made:
        yield made


@pytest.fixture
def guard(watch: Watch, tmp_path: Path) -> Iterator[Guard]:
    made: list[Guarded] = []

    def make() -> Guarded:
        made.append(Guarded(watch, tmp_path))
        return made[-1]

    yield make
    for guarded in made:
        guarded.close()


def pass_by(status: os.stat_result) -> None:
    """Wait until a change lies too far back to belong to what comes."""
    until_ns = status.st_ctime_ns + 2 * CTIME_BEFORE_NS
    while time.time_ns() < until_ns:
        time.sleep(0.01)


def test_attributes_that_were_heard_stay_heard(guard: Guard, watch: Watch) -> None:
    """chmod of the image's files, then a loss: they are old as before, and those of the time of the loss undecided."""
    guarded = guard()
    guarded.do("os.chmod('/usr/bin/head', 0o755)")
    pass_by(os.stat(f"/proc/{guarded.container.pid}/root/usr/bin/head"))
    watch.marks.drain(watch.events.append)  # as the lookout does at each of its chores
    guarded.storm("os.chmod('/usr/bin/tail', 0o755)")
    guarded.do("os.chmod('/etc/issue', 0o755)")
    assert [guarded.verdict(path) for path in ("/usr/bin/head", "/etc/issue")] == ["old", "old"]
    assert guarded.verdict("/usr/bin/tail") == "undecided"
    guarded.storm()
    assert guarded.verdict("/usr/bin/head") == "old"


def test_what_was_heard_in_a_storm_before_the_loss_stays_heard(
    guard: Guard, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gap begins where the last thing was told of that nothing was lost before, not where the storm began."""
    guarded = guard()
    watch.settle()
    guarded.container.do("os.chmod('/usr/bin/head', 0o755)", "put('/tmp/first')")
    pass_by(os.stat(f"/proc/{guarded.container.pid}/root/usr/bin/head"))
    marks = watch.marks
    tell_batch = FileMarks._tell_batch

    def tell_and_storm(*given: object) -> None:
        """The queue is not empty at any time between."""
        monkeypatch.setattr(FileMarks, "_tell_batch", tell_batch)
        guarded.container.do(STORM)
        tell_batch(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(FileMarks, "_tell_batch", tell_and_storm)
    marks.drain(watch.events.append)
    watch.settle()
    guarded.learn()
    assert guarded.losses()
    assert guarded.verdict("/usr/bin/head") == "old"


def test_what_was_made_in_a_gap_is_never_old(guard: Guard) -> None:
    """A copy with the times of old, made while nothing was seen; nor when it is given new attributes afterwards."""
    guarded = guard()
    guarded.storm(COPY)
    assert guarded.verdict("/usr/bin/dropped") in ("undecided", "new")
    guarded.do("os.chmod('/usr/bin/dropped', 0o755)")
    assert guarded.verdict("/usr/bin/dropped") in ("undecided", "new")


def test_until_the_layers_were_looked_through_what_was_lost_may_be_anything(
    guard: Guard, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made in the gap, changed after it, run before it is found: the loss is not over, so silence proves nothing."""
    guarded = guard()
    monkeypatch.setattr(searches, "STEPS_EACH_TURN", 0)
    guarded.container.do("\n".join([STORM, COPY, STORM]))
    while not guarded.losses():
        watch.marks.drain(watch.events.append)
    guarded.container.do("os.chmod('/usr/bin/dropped', 0o755)")
    for _ in range(3):
        watch.marks.drain(watch.events.append)
    guarded.learn()
    assert guarded.verdict("/usr/bin/dropped") in ("undecided", "new")
    monkeypatch.undo()
    watch.settle()
    guarded.learn()
    assert guarded.verdict("/usr/bin/dropped") in ("undecided", "new")
    assert [event.since_ns > guarded.losses()[-1].at_ns for event in watch.events if isinstance(event, FilesWatched)][
        -1
    ]


def test_losses_in_quick_succession_are_looked_through_once_more(
    guard: Guard, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look goes on and one follows, however many losses there are; the end is said once, after the last."""
    guarded = guard()
    before = [event for event in watch.events if isinstance(event, FilesWatched)]
    monkeypatch.setattr(searches, "STEPS_EACH_TURN", 0)
    for number in range(1, 4):
        guarded.container.do(STORM)
        while len(guarded.losses()) < number:
            watch.marks.drain(watch.events.append)
    assert len(watch.marks._searches._going) == 1
    monkeypatch.undo()
    watch.settle()
    assert len([event for event in watch.events if isinstance(event, FilesWatched)]) == len(before) + 1


def test_a_volume_that_is_not_watched_is_not_after_a_loss_either(
    guard: Guard, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said anew of a container after a loss says of its mounts what was said before."""
    guarded = guard()
    (container,) = watch.marks._containers.values()
    container.unwatched = "/data/0: No such device"
    guarded.storm()
    assert watch.watched(guarded.container).reason == "/data/0: No such device"
