"""/proc/PID/maps, parsed."""

import mmap
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.maps import Mapping, executable_files, parse_line, parse_maps

LINE = b"7f0a1c000000-7f0a1c021000 r-xp 00003000 00:28 12                         /tmp/we ird\\012na me.so (deleted)"


def test_a_line_is_read_column_by_column():
    """Addresses, permissions, device and inode are numbers; the name keeps its blanks, and newlines are undone."""
    mapping = parse_line(LINE)
    assert mapping == Mapping(
        0x7F0A1C000000, 0x7F0A1C021000, "r-xp", 0x3000, os.makedev(0, 0x28), 12, "/tmp/we ird\nna me.so (deleted)"
    )
    assert mapping.executable


def test_a_line_without_a_name_is_an_anonymous_mapping():
    """The name is empty, and it is no executable file."""
    raw = b"7f0a1c000000-7f0a1c021000 rwxp 00000000 00:00 0 \n"
    assert parse_maps(raw)[0].path == ""
    assert executable_files(raw) == []


def test_our_own_maps_agree_with_stat():
    """The files that this process has mapped executable are there, with the inode that stat tells."""
    found = {mapping.path: mapping for mapping in executable_files(Path("/proc/self/maps").read_bytes())}
    exe = os.path.realpath("/proc/self/exe")
    assert found[exe].ino == os.stat(exe).st_ino
    assert any("libc" in path for path in found)


def test_a_mapped_file_with_a_hostile_name_is_found(tmp_path):
    """Newline, blanks and bytes that are not UTF-8 in a name come through decoded once."""
    name = os.fsencode(tmp_path) + b"/a b\n\xff 00:00 0 x"
    shutil.copyfile(b"/bin/true", name)
    fd = os.open(name, os.O_RDONLY)
    held = mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    os.close(fd)
    try:
        found = executable_files(Path("/proc/self/maps").read_bytes())
    finally:
        held.close()
    assert [m for m in found if m.path.endswith("/a b\n\\xff 00:00 0 x") and m.ino == os.stat(name).st_ino]


def test_a_cut_off_last_line_is_left_out():
    """What was read up to a bound ends amid a line; that line says nothing."""
    assert executable_files(LINE + b"\n" + LINE[:40]) == [parse_line(LINE)]


@pytest.mark.parametrize("raw", [b"x", b"1-2 r-xp 0 0:0", b"1 r-xp 0 0:0 1", b"1-2 rx 0 0:0 1", b"1-2 r-xp 0 00 1"])
def test_what_is_no_mapping_is_refused(raw):
    """ValueError, nothing else."""
    with pytest.raises(ValueError, match=r"mapping|literal"):
        parse_line(raw)


NEARLY = rb"[0-9a-f]{1,20}-[0-9a-f]{1,20} r-xp [0-9a-f]+ [0-9a-f]+:[0-9]+ \d+ /.*"


@given(st.binary(max_size=300) | st.from_regex(NEARLY))
def test_any_bytes_parse_or_are_refused(raw):
    """The parsers return mappings or raise ValueError; there is no third way."""
    for parse in (parse_maps, executable_files):
        try:
            found = parse(raw)
        except ValueError:
            continue
        assert all(isinstance(mapping, Mapping) for mapping in found)
