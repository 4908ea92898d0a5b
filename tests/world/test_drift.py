"""The drift record by itself: what was observed, what is judged, what is remembered."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.sight import Gap, Sight
from outrider_sidecar.world.drift import DriftRecord, DriftState
from outrider_wire.events import FileChanged, FileFacts, ProcessId

BASELINE = 1_000
OLD, NEW = 500, 2_000
SOMEBODY = ProcessId(7, 70)


def _file(path: str = "/bin/x", *, ino: int = 5, mtime: int = OLD, ctime: int = NEW, nlink: int = 1) -> FileFacts:
    return FileFacts(path, dev=1, ino=ino, mode=0o100755, mtime_ns=mtime, ctime_ns=ctime, nlink=nlink)


def _saw(change: str, file: FileFacts, *, at: int = NEW, kind: str = "elf") -> FileChanged:
    return FileChanged(at, change, file, kind=kind, actor=SOMEBODY)  # type: ignore[arg-type]


def _record(*seen: FileChanged, sight: Sight = Sight(1_100), max_seen: int = 100) -> DriftRecord:  # noqa: B008
    record = DriftRecord(BASELINE, lambda directory: sight if directory == "/bin" else None, max_seen=max_seen)
    for event in seen:
        record.observe(event)
    return record


GONE = FileFacts("/bin/x")
TABLE = [
    ("older than the container", [], _file(ctime=OLD), "old"),
    ("older, with a modification time in the future", [], _file(mtime=9_999, ctime=OLD), "old"),
    ("older, though its name was seen made and replaced", [_saw("created", _file())], _file(ctime=OLD), "old"),
    ("new bytes", [], _file(mtime=NEW), "new"),
    ("not to be looked at, seen made", [_saw("created", _file())], FileFacts("/bin/../bin/x"), "new"),
    ("not to be looked at, seen made and gone", [_saw("created", _file()), _saw("deleted", _file())], GONE, "new"),
    ("not to be looked at, nothing seen, watched", [], GONE, "old"),
    ("not to be looked at, changed before the watch", [_saw("found", _file())], GONE, "undecided"),
    ("not to be looked at, unwatched", [], FileFacts("/data/x"), "undecided"),
    ("new bytes at the very baseline", [], _file(mtime=BASELINE, ctime=BASELINE), "new"),
    ("attributes alone, watched", [], _file(), "old"),
    ("attributes alone, told of", [_saw("attributes", _file())], _file(), "old"),
    ("attributes alone, before the watch", [], _file(ctime=1_050), "undecided"),
    ("attributes alone, unwatched", [], _file("/data/x"), "undecided"),
    ("created with an old time", [_saw("created", _file())], _file(), "new"),
    ("moved in", [_saw("moved_in", _file())], _file(), "new"),
    ("closed after writing", [_saw("written", _file())], _file(), "new"),
    ("linked", [_saw("linked", _file(nlink=2))], _file(nlink=2), "new"),
    ("another name of what was linked", [_saw("linked", _file("/bin/l", nlink=2))], _file(nlink=2), "old"),
    ("another name of what was renamed", [_saw("moved_in", _file("/bin/l", nlink=2))], _file(nlink=2), "old"),
    ("created elsewhere and moved with its directory", [_saw("created", _file("/tmp/a"))], _file("/data/a"), "new"),
    ("another file made", [_saw("created", _file("/bin/y", ino=6))], _file(), "old"),
    ("found changed when the watch began", [_saw("found", _file())], _file(), "undecided"),
    ("found changed, with new bytes", [_saw("found", _file())], _file(mtime=NEW), "new"),
    ("found, then written", [_saw("found", _file()), _saw("written", _file())], _file(), "new"),
    ("written, then found after a gap", [_saw("written", _file()), _saw("found", _file())], _file(), "new"),
    ("made and deleted by the time of judging", [_saw("created", _file()), _saw("deleted", _file())], _file(), "new"),
    ("a directory of that name made", [_saw("created", _file(), kind="dir")], _file(), "old"),
    ("unlinked when started", [], _file(nlink=0), "fileless"),
    ("unlinked, of the image", [], _file(ctime=OLD, nlink=0), "fileless"),
    ("renamed over, other links left", [_saw("created", _file())], _file("/bin/x (deleted)"), "new"),
    ("a memfd whose facts are unread", [], FileFacts("/memfd:x (deleted)"), "fileless"),
]


@pytest.mark.parametrize(("seen", "file", "verdict"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_verdict_on(seen, file, verdict):
    """Each row is what was observed, a file as it was started, and what is held of it."""
    drift = _record(*seen).judge(file)
    assert drift.verdict == verdict
    assert drift.reason


GAP = Sight(1_100, (Gap(1_500, 1_600),))
AROUND_A_GAP = [
    ("attributes, before the gap", [], 1_499, "old"),
    ("attributes, as it began", [], 1_500, "undecided"),
    ("attributes, in the gap", [], 1_550, "undecided"),
    ("attributes, at its end", [], 1_600, "undecided"),
    ("attributes, after the gap", [], 1_601, "old"),
    ("found after the gap, changed in it", [_saw("found", _file(ctime=1_550))], 1_550, "undecided"),
    ("found after the gap, and given attributes since", [_saw("found", _file(ctime=1_550))], 1_900, "undecided"),
    ("made before the gap", [_saw("created", _file())], 1_400, "new"),
    ("before the watch, whatever was lost later", [], 1_050, "undecided"),
]


@pytest.mark.parametrize(("seen", "ctime", "verdict"), [r[1:] for r in AROUND_A_GAP], ids=[r[0] for r in AROUND_A_GAP])
def test_a_loss_of_sight_is_a_doubt_of_its_own_time(seen, ctime, verdict):
    """What changed while nothing was seen stays undecided; what was heard before and after keeps its verdict."""
    assert _record(*seen, sight=GAP).judge(_file(ctime=ctime)).verdict == verdict


def test_who_and_when_are_part_of_a_verdict():
    """The actor that was named with the change, and the time of the change."""
    drift = _record(_saw("created", _file(), at=1_234)).judge(_file())
    assert (drift.by, drift.changed_at_ns) == (SOMEBODY, 1_234)


def test_the_record_is_bounded_and_knows_that_it_forgot():
    """What was pushed out could have been the file in question: then silence proves nothing up to that time."""
    record = _record(max_seen=3)
    for count in range(10):
        record.observe(_saw("created", _file(f"/bin/{count}", ino=100 + count), at=2_000 + count))
    assert len(record.state().seen) == 3
    assert len(record._by_inode) == 3
    assert record.judge(_file("/bin/0", ino=100, ctime=2_000)).verdict == "undecided"
    assert record.judge(_file("/bin/9", ino=109)).verdict == "new"
    assert record.judge(_file("/bin/other", ino=999, ctime=9_000)).verdict == "old"


def test_a_name_written_again_and_again_takes_one_place():
    """A file that is replaced a thousand times leaves one entry and one inode."""
    record = _record()
    for count in range(1_000):
        record.observe(_saw("moved_in", _file(ino=1_000 + count)))
    assert (len(record.state().seen), len(record._by_inode)) == (1, 1)


def test_the_baseline_may_become_known_later():
    """set_baseline moves the line that files are judged by."""
    record = _record()
    record.set_baseline(NEW + 1)
    assert record.judge(_file(mtime=NEW)).verdict == "old"


EVENTS = st.builds(
    _saw,
    st.sampled_from(["created", "written", "moved_in", "linked", "found", "deleted", "moved_out", "attributes"]),
    st.builds(_file, st.sampled_from(["/bin/a", "/bin/b", "/tmp/c"]), ino=st.integers(1, 4), nlink=st.integers(0, 2)),
    at=st.integers(0, 5_000),
)
FILES = st.builds(
    _file,
    st.sampled_from(["/bin/a", "/bin/b", "/tmp/c"]),
    ino=st.integers(0, 4),
    mtime=st.integers(0, 5_000),
    ctime=st.integers(0, 5_000),
    nlink=st.integers(0, 2),
)


@given(st.lists(EVENTS, max_size=12), FILES)
def test_a_record_written_and_read_back_judges_the_same(events, file):
    """The state is plain data: through msgpack and back nothing is lost."""
    record = _record(*events)
    raw = msgspec.msgpack.encode(record.state())
    restored = DriftRecord.restore(
        msgspec.msgpack.decode(raw, type=DriftState), lambda directory: Sight(1_100) if directory == "/bin" else None
    )
    assert restored.judge(file) == record.judge(file)


@given(st.lists(EVENTS, max_size=12), FILES)
def test_an_older_ctime_is_never_new_and_a_nameless_file_always_fileless(events, file):
    """No order of events makes an image's file new."""
    verdict = _record(*events).judge(file).verdict
    if file.nlink == 0:
        assert verdict == "fileless"
    elif file.ino and file.ctime_ns < BASELINE:
        assert verdict == "old"
