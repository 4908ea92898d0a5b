"""What a file is by its first bytes, and what an ELF header says; against readelf and files that gcc makes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.elf import ET_DYN, ET_EXEC, HEADER_BYTES, ElfHead, is_pie, kind_of, parse_elf

KINDS = [(b"\x7fELF\x02", "elf"), (b"#!/bin/sh", "script"), (b"", "other"), (b"\x7fEL", "other"), (b" #!", "other")]


@pytest.mark.parametrize(("head", "kind"), KINDS)
def test_the_first_bytes_tell_the_kind(head, kind):
    """ELF and #! are told; everything else, empty files too, is other."""
    assert kind_of(head) == kind


def _built(tmp_path: Path, *options: str) -> bytes:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    source, target = tmp_path / "x.c", tmp_path / "x"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", *options, "-o", target, source], check=True)
    return target.read_bytes()


def _pie(raw: bytes) -> bool:
    elf = parse_elf(raw[:HEADER_BYTES])
    section = elf.dynamic
    return section is not None and is_pie(raw[section.offset : section.offset + section.size], elf)


def test_a_program_linked_for_one_address_is_an_executable(tmp_path):
    """gcc -no-pie makes ET_EXEC with an interpreter."""
    elf = parse_elf(_built(tmp_path, "-no-pie")[:HEADER_BYTES])
    assert (elf.type, elf.has_interpreter) == (ET_EXEC, True)


def test_a_position_independent_program_is_told_from_a_library(tmp_path):
    """Both are ET_DYN; DF_1_PIE tells them apart."""
    program, library = _built(tmp_path, "-pie", "-fPIE"), _built(tmp_path, "-shared", "-fPIC")
    assert parse_elf(program[:HEADER_BYTES]).type == parse_elf(library[:HEADER_BYTES]).type == ET_DYN
    assert (_pie(program), _pie(library)) == (True, False)


def test_the_build_id_is_that_of_readelf(tmp_path):
    """The note is found within the first bytes as linkers lay it out."""
    raw = _built(tmp_path, "-Wl,--build-id")
    told = subprocess.run(["readelf", "-n", tmp_path / "x"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"Build ID: ([0-9a-f]+)", told)
    assert match is not None
    assert parse_elf(raw[:HEADER_BYTES]).build_id == match[1]


@given(st.binary(max_size=400).map(lambda tail: b"\x7fELF" + tail) | st.binary(max_size=100))
def test_any_bytes_parse_or_are_refused(raw):
    """parse_elf returns headers or raises ValueError, and is_pie always answers."""
    try:
        elf = parse_elf(raw)
    except ValueError:
        return
    assert isinstance(elf, ElfHead)
    assert is_pie(raw, elf) in (True, False)


@given(st.data())
def test_a_real_header_with_bytes_changed_parses_or_is_refused(data):
    """Hostile numbers in an otherwise sound file lead nowhere."""
    raw = bytearray(Path("/bin/true").read_bytes()[:HEADER_BYTES])
    for at in data.draw(st.lists(st.integers(4, 600), max_size=12)):
        raw[at] = data.draw(st.integers(0, 255))
    try:
        elf = parse_elf(bytes(raw))
    except ValueError:
        return
    assert is_pie(bytes(raw), elf) in (True, False)
