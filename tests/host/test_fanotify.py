"""The binding of fanotify and of file handles: the parser's strictness, and the kernel's own words."""

import ctypes
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.linux import fanotify, handles
from outrider_sidecar.linux.fanotify import Fanotify, Fid, RawEvent, parse_events
from outrider_sidecar.sensors.host.mounts import Mount, parse_mountinfo, with_files
from outrider_wire.errors import Unavailable

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="fanotify marks of file systems need root")


def _event(mask: int, fd: int, pid: int, records: bytes = b"") -> bytes:
    return struct.pack("=IBBHQii", 24 + len(records), 3, 0, 24, mask, fd, pid) + records


def _record(kind: int, handle: bytes, name: bytes = b"") -> bytes:
    body = b"fsid8byt" + struct.pack("=Ii", len(handle), 1) + handle + (name + b"\0" if name else b"")
    body += b"\0" * (-len(body) % 4)
    return struct.pack("=BBH", kind, 0, 4 + len(body)) + body


def test_an_event_with_two_names_is_taken_apart() -> None:
    """A rename comes with the old and the new directory and name, and the file itself."""
    records = _record(10, b"old!", b"a") + _record(12, b"new!", b"bb") + _record(1, b"file")
    raw = _event(fanotify.RENAME, -1, 7, records) + _event(fanotify.CLOSE_WRITE, 5, 8)
    events = parse_events(raw)
    head = struct.pack("=Ii", 4, 1)
    assert events == [
        RawEvent(
            fanotify.RENAME,
            -1,
            7,
            (
                Fid(10, b"fsid8byt", head + b"old!", b"a"),
                Fid(12, b"fsid8byt", head + b"new!", b"bb"),
                Fid(1, b"fsid8byt", head + b"file"),
            ),
        ),
        RawEvent(fanotify.CLOSE_WRITE, 5, 8),
    ]


@given(st.binary(max_size=400))
def test_any_bytes_are_events_or_a_value_error(raw: bytes) -> None:
    """There is no third way, for bytes that are nobody's."""
    try:
        assert all(isinstance(event, RawEvent) for event in parse_events(raw))
    except ValueError:
        pass


@given(st.binary(max_size=200), st.integers(0, 2**16 - 1), st.integers(0, 40))
def test_any_records_are_events_or_a_value_error(records: bytes, metadata: int, cut: int) -> None:
    """The same behind a header that is right, or nearly."""
    raw = struct.pack("=IBBHQii", 24 + len(records), 3, 0, metadata, 1, -1, 1) + records
    for tried in (raw, raw[: len(raw) - cut], _event(1, -1, 1, records)):
        try:
            parse_events(tried)
        except ValueError:
            pass


@given(st.binary(max_size=300))
def test_any_bytes_are_mounts_or_a_value_error(raw: bytes) -> None:
    """mountinfo holds names that a container chose."""
    try:
        assert all(isinstance(mount, Mount) for mount in parse_mountinfo(raw))
    except ValueError:
        pass


def test_names_with_spaces_and_commas_are_read_from_mountinfo() -> None:
    """Octal escapes are the kernel's, a backslash before a comma is overlayfs's."""
    line = rb"36 35 0:52 / /mnt/a\040b rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u\134,p/d,workdir=/w"
    (mount,) = parse_mountinfo(line + b"\n")
    assert (mount.at, mount.option(b"upperdir"), mount.option(b"workdir")) == (b"/mnt/a b", b"/u,p/d", b"/w")
    assert with_files([mount, mount._replace(kind=b"proc", at=b"/proc")]) == [mount]


def test_the_kernel_names_who_created_what(tmp_path: Path) -> None:
    """A mark of a directory tells the name, the pid and a handle that leads back to the directory."""
    try:
        group = Fanotify(fanotify.REPORT_NAMES)
    except Unavailable as error:
        pytest.skip(str(error))
    try:
        group.mark(os.fsencode(tmp_path), fanotify.CREATE | fanotify.ONDIR)
        (tmp_path / "made").write_text("x")
        (event,) = group.read(4096)
    finally:
        group.close()
    named = {fid.kind: fid for fid in event.fids}
    assert (event.pid, named[fanotify.INFO_DFID_NAME].name) == (os.getpid(), b"made")
    mount_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fd = handles.open_handle(mount_fd, named[fanotify.INFO_DFID_NAME].handle)
        assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path)
        assert handles.handle_of(fd) == named[fanotify.INFO_DFID_NAME].handle
        os.close(fd)
        (tmp_path / "made").unlink()
        with pytest.raises(OSError):
            handles.open_handle(mount_fd, named[fanotify.INFO_FID].handle)
    finally:
        os.close(mount_fd)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_handle_are_refused(raw: bytes) -> None:
    """The kernel is never handed a length that reaches behind the bytes."""
    with pytest.raises((ValueError, OSError)):
        os.close(handles.open_handle(-1, raw))


def test_what_is_queued_is_told_and_flushed(tmp_path: Path) -> None:
    """Pending bytes count what nobody read, and a flush ends the telling."""
    group = Fanotify(fanotify.UNLIMITED_QUEUE)
    try:
        group.mark(os.fsencode(tmp_path), fanotify.CLOSE_WRITE | fanotify.EVENT_ON_CHILD)
        for name in "abc":
            (tmp_path / name).write_text("x")
        assert group.pending_bytes() == 3 * fanotify.EVENT_BYTES
        for event in group.read(4096):
            assert os.readlink(f"/proc/self/fd/{event.fd}").startswith(str(tmp_path))
            os.close(event.fd)
        group.flush()
        (tmp_path / "d").write_text("x")
        assert group.read(4096) == []
    finally:
        group.close()


def test_a_refused_group_says_why() -> None:
    """Flags that make no sense are the environment's fault in words, not a traceback."""
    with pytest.raises(Unavailable, match="Invalid argument"):
        Fanotify(ctypes.c_uint(-1).value & ~fanotify.CLOEXEC)
