"""Segments are read as far as they are whole, whatever they hold."""

from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.journal.records import EVENT, FINDING, LOSS, encode_loss, encode_record, read_contents

WHOLE = b"".join(
    [
        encode_record(FINDING, b"f" * 10),
        encode_record(EVENT, b"e" * 300),
        encode_record(LOSS, encode_loss("pipe", 2)),
        encode_record(LOSS, encode_loss("pipe", 3)),
        encode_record(EVENT, b"e" * 70_000),
    ]
)


def test_records_come_back_in_order_and_losses_summed() -> None:
    """Every size of record is read back."""
    contents = read_contents(WHOLE)
    assert contents.findings == [b"f" * 10]
    assert contents.events == [b"e" * 300, b"e" * 70_000]
    assert (contents.lost, contents.damaged_bytes) == ({"pipe": 5}, 0)


@given(st.integers(0, len(WHOLE)))
def test_a_torn_end_costs_the_last_record_alone(end: int) -> None:
    """Whatever was whole before the tear is read; the rest is counted in bytes."""
    contents = read_contents(WHOLE[:end])
    whole = sum(map(len, contents.findings + contents.events))
    assert contents.damaged_bytes < 70_020
    assert whole <= end and (end < len(WHOLE) or contents.damaged_bytes == 0)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_damage_in_the_middle_never_raises_and_never_invents(garbage: bytes, at: int) -> None:
    """What comes before the damage is kept; nothing that was not written is read."""
    contents = read_contents(WHOLE[:at] + garbage + WHOLE[at + len(garbage) + 1 :])
    assert set(contents.findings) <= {b"f" * 10}
    assert set(contents.events) <= {b"e" * 300, b"e" * 70_000}


@given(st.binary(max_size=300))
def test_garbage_holds_no_records(garbage: bytes) -> None:
    """Random bytes are damage."""
    assert read_contents(garbage).damaged_bytes == len(garbage)
