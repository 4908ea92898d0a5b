"""The spool: what was appended is read back, to the tear and past it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.spool import Place, Spool, _frames, _pack

START = Place(0, 0)


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    """In order, with its time, over restarts, from any place on."""
    spool = Spool(tmp_path)
    first = spool.append([(1, b"a"), (2, b"bb")])
    spool.close()
    spool = Spool(tmp_path)
    second = spool.append([(3, b"")])
    assert list(spool.read_from(START)) == first + second
    assert list(spool.read_from(first[0].end)) == first[1:] + second
    assert list(spool.read_from(second[0].end)) == []
    spool.close()


def test_a_torn_end_is_left_behind(tmp_path: Path) -> None:
    """The frames before the tear are read, and so are those of later files."""
    spool = Spool(tmp_path)
    spool.append([(1, b"a"), (2, b"b")])
    spool.close()
    (torn,) = tmp_path.glob("*.spool")
    torn.write_bytes(torn.read_bytes()[:-1])
    spool = Spool(tmp_path)
    spool.append([(3, b"c")])
    assert [frame.data for frame in spool.read_from(START)] == [b"a", b"c"]
    spool.close()


def test_old_files_go_when_there_are_too_many(tmp_path: Path) -> None:
    """The oldest indexed files are removed down to the bound; those not indexed stay."""
    for _ in range(5):
        spool = Spool(tmp_path)
        spool.append([(1, bytes(1000))])
        spool.close()
    spool = Spool(tmp_path)
    spool.forget(below=3, keep_bytes=0)
    assert len(list(tmp_path.glob("*.spool"))) == 4
    spool.forget(below=99, keep_bytes=2500)
    assert [len(frame.data) for frame in spool.read_from(START)] == [1000, 1000]
    spool.close()


def test_a_full_disk_is_raised_and_healed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails keeps nothing; the next begins a new file."""
    import os

    spool = Spool(tmp_path)
    spool.append([(1, b"a")])
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, raw: real(fd, raw[:3]))
        with pytest.raises(OSError):
            spool.append([(2, b"lost")])
    spool.append([(3, b"c")])
    assert [frame.data for frame in spool.read_from(START)] == [b"a", b"c"]
    spool.close()


@given(st.binary(max_size=300), st.integers(0, 60))
def test_damage_never_raises_and_never_invents(garbage: bytes, at: int) -> None:
    """Any bytes are read as frames that were packed, or not at all."""
    whole = _pack(1, b"one") + _pack(2, b"two")
    damaged = whole[:at] + garbage + whole[at:]
    assert {frame.data for frame in _frames(damaged, 1, 0)} <= {b"one", b"two"}
