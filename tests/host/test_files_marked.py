"""The engine's side of the file watch: what it believes of the lookout's events, and when inotify takes over."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overlays import Overlay, make_image

from outrider_sidecar.sensors import FileWatch
from outrider_sidecar.sensors.host import marked as module
from outrider_sidecar.sensors.host.marked import HEAR_S, SEARCH_MOST_NS, MarkedFiles
from outrider_sidecar.sensors.host.partial import read_unwatched, say_unwatched
from outrider_sidecar.sight import Gap, Sight
from outrider_wire.events import Event, FilesWatched, SightLost


class Time:
    now_s = 100.0


@pytest.fixture
def marked() -> Iterator[MarkedFiles]:
    made = MarkedFiles(clock_s=lambda: Time.now_s)
    yield made
    made.close()


def test_it_has_the_shape_of_a_file_watch(marked: MarkedFiles) -> None:
    """The guard takes it for one."""
    watch: FileWatch = marked
    assert watch.name == "fanotify"


def test_a_marked_container_is_watched_since_its_marks(marked: MarkedFiles) -> None:
    """Whichever came first, the event or the engine's wish; nothing has to be waited for."""
    marked.add_root(1, 10)
    assert not marked.important_done() and marked.left == 1
    marked.learn(FilesWatched(7, 1, "fanotify", 7))
    marked.learn(FilesWatched(8, 2, "fanotify", 8))
    marked.add_root(2, 20)
    assert marked.important_done() and marked.settled() and marked.caught_up()
    assert [marked.sight(n, "/tmp") for n in (1, 2, 3)] == [Sight(7), Sight(8), None]


def test_a_loss_makes_the_silence_of_its_time_worthless(marked: MarkedFiles) -> None:
    """Of files, of the pipe, of the engine; not of packets, and no limit that was known from the start."""
    marked.learn(FilesWatched(7, 1, "fanotify", 7))
    marked.learn(SightLost(20, "network", "x", since_ns=15))
    marked.learn(SightLost(30, "file", "x", since_ns=25, standing=True))
    assert marked.sight(1, "/tmp") == Sight(7)
    marked.learn(SightLost(40, "process", "the pipe was full", 3, since_ns=35))
    marked.learn(SightLost(60, "engine", "it was full", 3, since_ns=55))
    assert marked.sight(1, "/tmp") == Sight(7, (Gap(35, 40), Gap(55, 60)))


def test_a_loss_of_which_nobody_knows_the_beginning_doubts_all_before_it(marked: MarkedFiles) -> None:
    """As no earlier silence can be trusted then."""
    marked.learn(FilesWatched(7, 1, "fanotify", 7))
    marked.learn(SightLost(40, "process", "a record was damaged", 1))
    sight = marked.sight(1, "/tmp")
    assert sight is not None and [sight.was_had(at) for at in (7, 39, 40, 41)] == [False, False, False, True]


def test_a_loss_of_the_lookout_lasts_until_the_layers_were_looked_through(marked: MarkedFiles) -> None:
    """What was made in it may have been changed again since; marks that are new begin anew, whatever was before."""
    marked.learn(FilesWatched(7, 1, "fanotify", 7, say_unwatched({b"/data": "No such device"})))
    marked.learn(SightLost(40, "file", "too fast", 3, since_ns=35))
    sight = marked.sight(1, "/tmp")
    assert sight is not None and [sight.was_had(at) for at in (34, 35, 41, 50)] == [True, False, False, False]
    marked.learn(FilesWatched(50, 1, "fanotify", 50, say_unwatched({b"/data": "No such device"})))
    assert marked.sight(1, "/tmp") == Sight(7, (Gap(35, 50),))
    assert marked.sight(1, "/data") is None
    marked.learn(FilesWatched(70, 1, "fanotify", 70))
    assert marked.sight(1, "/tmp") == Sight(70)


def test_an_end_that_is_never_heard_comes_by_itself(marked: MarkedFiles) -> None:
    """FilesWatched may be lost as well: then the doubt lasts as long as a look may take, and no longer."""
    marked.learn(FilesWatched(7, 1, "fanotify", 7))
    marked.learn(SightLost(40, "file", "too fast", 3, since_ns=35))
    sight = marked.sight(1, "/tmp")
    assert sight is not None
    assert not sight.was_had(40 + SEARCH_MOST_NS) and sight.was_had(41 + SEARCH_MOST_NS)


def test_what_a_mount_hides_is_not_vouched_for(marked: MarkedFiles) -> None:
    """A volume that takes no marks is said to be unwatched, and its neighbours are not."""
    marked.learn(FilesWatched(7, 1, "fanotify", 7, say_unwatched({b"/data": "No such device", b"/a b": "no"})))
    seen = [marked.sight(1, path) for path in ("/data", "/data/x", "/database", "/a b", "/")]
    assert seen == [None, None, Sight(7), None, Sight(7)]


@given(st.dictionaries(st.from_regex(rb"/[a-z /]{1,8}[a-z]", fullmatch=True), st.sampled_from(["No such device"])))
def test_unwatched_mounts_survive_their_text(mounts: dict[bytes, str]) -> None:
    """What is said is what is read."""
    assert read_unwatched(say_unwatched(mounts)) == tuple(at.decode() for at in mounts)


@pytest.mark.parametrize("told", [True, False])
def test_inotify_watches_what_cannot_be_marked(
    marked: MarkedFiles, tmp_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that is said to be unmarkable, or of which nothing is heard in time; given back when it is marked."""
    said = list[str]()
    monkeypatch.setattr(module, "say", lambda text, **facts: said.append(f"{text}: {facts['reason']}"))
    container = Overlay(tmp_path / "c", lower=str(make_image(tmp_path / "image")))
    stop, events = threading.Event(), list[Event]()
    thread = threading.Thread(target=marked.run, args=(events.append, stop))
    thread.start()
    try:
        marked.add_root(container.mnt_ns, container.pid, baseline_ns=1)
        if told:
            marked.learn(FilesWatched(7, container.mnt_ns, "", 0, "its root is unknown"))
        else:
            assert not marked.important_done()
            Time.now_s += HEAR_S
        deadline = threading.Event()
        for _ in range(2_000):
            if marked.important_done() and marked.sight(container.mnt_ns, "/tmp"):
                break
            deadline.wait(0.005)
        assert marked.sight(container.mnt_ns, "/tmp") and marked.directories and marked.by_inotify == 1
        assert len(said) == 1 and "watched by inotify" in said[0], said
        assert ("its root is unknown" if told else "nothing was heard") in said[0]
        marked.learn(FilesWatched(9, container.mnt_ns, "fanotify", 9))
        assert marked.sight(container.mnt_ns, "/tmp") == Sight(9) and not marked.by_inotify
    finally:
        stop.set()
        marked.wake()
        thread.join(timeout=10)
        container.stop()
