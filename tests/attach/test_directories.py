"""What is compared and kept of a process's /proc directory between its exec and its exit."""

import os
import socket
from pathlib import Path

import pytest

from outrider_sidecar.linux.directories import MAX_KEPT, Directories
from outrider_sidecar.linux.identity import identify, size_of


def test_a_file_is_identified_as_by_stat() -> None:
    """Inode, device, type, permissions and device number are those that os.stat gives, for every kind of file."""
    pipe = os.pipe()
    with socket.socket() as made, open("/dev/null", "rb") as null, open(__file__, "rb") as plain:
        here = os.open("/proc/self", os.O_PATH)
        try:
            for fd in (*pipe, made.fileno(), null.fileno(), plain.fileno()):
                status = os.fstat(fd)
                expected = (status.st_ino, status.st_dev, status.st_mode, status.st_rdev)
                assert identify(here, b"fd/%d" % fd) == expected
            assert size_of(here, b"fd") == os.stat("/proc/self/fd").st_size
        finally:
            for fd in (*pipe, here):
                os.close(fd)


def test_a_file_that_is_not_there_raises() -> None:
    """No stale answer of an earlier look is handed out."""
    here = os.open("/proc/self", os.O_PATH)
    try:
        identify(here, b"exe")
        with pytest.raises(FileNotFoundError):
            identify(here, b"fd/999999")
    finally:
        os.close(here)


def test_directories_are_bounded_and_closed(tmp_path: Path) -> None:
    """Opening one more than may be kept closes the first; an open one is handed out again; closing frees it."""
    for pid in range(1, MAX_KEPT + 2):
        (tmp_path / str(pid)).mkdir()
    before = len(os.listdir("/proc/self/fd"))
    directories = Directories(tmp_path)
    for pid in range(1, MAX_KEPT + 2):
        assert directories.open(pid) == directories.open(pid)
    assert len(os.listdir("/proc/self/fd")) - before == MAX_KEPT
    for pid in range(1, MAX_KEPT + 2):
        directories.close(pid)
    assert len(os.listdir("/proc/self/fd")) == before
