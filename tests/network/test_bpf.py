"""The filter assembler: its output against hand-made code, its refusals by line."""

import struct

import pytest

from outrider_sidecar.linux.bpf import assemble
from outrider_sidecar.linux.packet import FILTER


def decoded(code):
    return list(struct.iter_unpack("=HBBI", code))


def test_a_program_becomes_the_code_that_the_manual_gives():
    """The example of filter.rst for ARP packets (`ldh [12]; jne #0x806, drop; ret #-1; drop: ret #0`)."""
    text = """
            half 12
            ifne 0x806 none     ; anything but ARP
            pass 0xffffffff
      none: drop
    """
    assert decoded(assemble(text)) == [(0x28, 0, 0, 12), (0x15, 0, 1, 0x806), (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]


def test_jumps_metadata_and_the_index_register():
    """Taken and passed branches, ancillary loads and indirect loads have their codes of linux/filter.h."""
    text = "meta proto\nifset 1 end\nxheader 14\nxbyte 2\nxhalf 4\ntax\naddx\nend: drop"
    assert decoded(assemble(text)) == [
        (0x20, 0, 0, 0xFFFFF000),
        (0x45, 5, 0, 1),
        (0xB1, 0, 0, 14),
        (0x50, 0, 0, 2),
        (0x48, 0, 0, 4),
        (0x07, 0, 0, 0),
        (0x0C, 0, 0, 0),
        (0x06, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("half", "line 1: half: wrong operands"),
        ("half x", "line 1: half x: wrong operands"),
        ("meta colour", "line 1: meta colour: wrong operands"),
        ("drop 3", "line 1: drop 3: no such instruction"),
        ("\nleap 3", "line 2: leap 3: no such instruction"),
        ("a: drop\na: drop", "line 2: label a stands twice"),
        ("ifeq 1 nowhere", "no label nowhere"),
        ("a: half 1\nifeq 1 a", "jump to a is -2 instructions away"),
        ("ifeq 1 a\n" + "half 1\n" * 256 + "a: drop", "jump to a is 256 instructions away"),
        ("drop\n" * 4097, "4097 instructions"),
    ],
)
def test_a_wrong_program_is_refused_with_its_place(text, refusal):
    """A line that means nothing, a label that is not there or too far, and a program too long: each is named."""
    with pytest.raises(ValueError, match=refusal):
        assemble(text)


def test_the_filter_of_the_tap_is_well_within_the_kernels_bounds():
    """It assembles, and is short enough for every kernel."""
    assert len(decoded(assemble(FILTER))) < 100
