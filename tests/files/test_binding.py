"""The inotify binding: its constants and its event stream against pyinotify's, and its parser against any bytes."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.linux import inotify
from outrider_sidecar.linux.inotify import Inotify, RawEvent, parse_events

NAMES = (
    "ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE", "DELETE",
    "DELETE_SELF", "MOVE_SELF", "UNMOUNT", "Q_OVERFLOW", "IGNORED", "ONLYDIR", "DONT_FOLLOW", "MASK_ADD", "ISDIR",
    "ONESHOT",
)  # fmt: skip


def test_constants_are_those_of_pyinotify():
    """Every constant has the value that an independent binding has."""
    pyinotify = pytest.importorskip("pyinotify", reason="pyinotify cannot be imported here")
    assert {name: getattr(inotify, name) for name in NAMES} == {
        name: getattr(pyinotify, f"IN_{name}") for name in NAMES
    }


def _operate(directory: Path) -> None:
    (directory / "file").write_text("text")
    (directory / "file").chmod(0o600)
    (directory / "file").read_text()
    os.link(directory / "file", directory / "link")
    (directory / "link").rename(directory / "renamed")
    (directory / "below").mkdir()
    (directory / "below" / "inner").write_text("x")
    (directory / "below" / "inner").unlink()
    (directory / "below").rmdir()
    os.mkfifo(directory / "fifo")
    (directory / "fifo").rename(directory / "renamed")
    (directory / "renamed").unlink()
    (directory / "file").unlink()


def test_the_event_stream_is_that_of_pyinotify(tmp_path):
    """The same operations give the same masks, names and pairs of cookies, in the same order."""
    pyinotify = pytest.importorskip("pyinotify", reason="pyinotify cannot be imported here")
    mask = 0xFFF
    theirs: list[tuple[int, str, int]] = []
    manager = pyinotify.WatchManager()
    notifier = pyinotify.Notifier(
        manager, lambda event: theirs.append((event.mask, event.name, getattr(event, "cookie", 0))), timeout=0
    )
    ours = Inotify()
    try:
        manager.add_watch(str(tmp_path), mask)
        ours.add(os.fsencode(tmp_path), mask)
        _operate(tmp_path)
        mine = [(event.mask, event.name.decode(), event.cookie) for event in ours.read()]
        while notifier.check_events(timeout=0):
            notifier.read_events()
        notifier.process_events()
    finally:
        notifier.stop()
        ours.close()
    assert len(mine) >= 18
    assert [event[:2] for event in mine] == [event[:2] for event in theirs]
    assert [bool(event[2]) for event in mine] == [bool(event[2]) for event in theirs]


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(raw):
    """The parser returns events or raises ValueError; there is no third way."""
    try:
        events = parse_events(raw)
    except ValueError:
        return
    assert all(isinstance(event, RawEvent) for event in events)


@given(
    st.lists(
        st.tuples(
            st.integers(-1, 2**31 - 1),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
            st.binary(max_size=255).filter(lambda name: b"\0" not in name),
        ),
        max_size=20,
    )
)
def test_what_the_kernel_writes_is_read_back(records):
    """Records laid out as in inotify(7), names padded with NUL, come back as they were."""
    raw = b""
    for wd, mask, cookie, name in records:
        padded = name + b"\0" * (16 - len(name) % 16) if name else b""
        raw += struct.pack("iIII", wd, mask, cookie, len(padded)) + padded
    assert parse_events(raw) == records


def test_what_is_queued_and_not_read_can_be_asked(tmp_path):
    """pending_bytes is 0 for an empty queue and grows with events."""
    watches = Inotify()
    try:
        watches.add(os.fsencode(tmp_path), inotify.CREATE)
        assert watches.pending_bytes() == 0
        (tmp_path / "x").touch()
        assert watches.pending_bytes() == 16 + 16
        assert [event.name for event in watches.read()] == [b"x"]
        assert watches.read() == []
    finally:
        watches.close()
