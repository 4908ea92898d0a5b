"""The initial stack of a program, decoded from bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.status import parse_ids
from outrider_sidecar.linux.exitfacts import mapped_files
from outrider_sidecar.linux.procfs import parse_stat
from outrider_sidecar.linux.stack import InitialStack, decode_stack, is_64_bit
from outrider_sidecar.sensors.attach.seize import Standing, parse_standing

BASE = 0x7FFF_0000_1000


def stack(argv: list[bytes], env: list[bytes], execfn: bytes = b"/bin/x", *, gap: int = 40) -> bytes:
    """A stack as the kernel builds it."""
    words = 1 + len(argv) + 1 + len(env) + 1 + 2 * 7
    strings_at = BASE + 8 * words + gap
    texts, at, pointers = b"", strings_at, []
    for text in [*argv, *env, execfn]:
        pointers.append(at)
        texts += text + b"\0"
        at += len(text) + 1
    vector = [(11, 1000), (12, 0), (13, 100), (14, 10), (23, 1), (31, pointers[-1]), (0, 0)]
    flat = [len(argv), *pointers[: len(argv)], 0, *pointers[len(argv) : -1], 0, *(n for pair in vector for n in pair)]
    return struct.pack(f"<{len(flat)}Q", *flat) + b"r" * gap + texts + b"\0" * 8


def test_everything_is_read_from_one_piece_of_memory():
    """Arguments, environment, ids, AT_SECURE and the file name come out."""
    data = stack([b"a", b"", b"b c"], [b"A=1", b"B=2"], b"/bin/a")
    assert decode_stack(data, BASE) == InitialStack(
        argv=[b"a", b"", b"b c"],
        environment=b"A=1\0B=2\0",
        execfn=b"/bin/a",
        uid=1000,
        euid=0,
        gid=100,
        egid=10,
        secure=True,
    )


@pytest.mark.parametrize("env", [[], [b"A=1"]])
def test_no_arguments_survive(env):
    """argc = 0 is an ordinary stack (CVE-2021-4034)."""
    found = decode_stack(stack([], env), BASE)
    assert found.argv == []
    assert found.environment == b"".join(each + b"\0" for each in env)


def test_a_stack_that_is_cut_off_is_refused():
    """Too few bytes raise ValueError, wherever they end."""
    data = stack([b"a"], [b"A=1"])
    whole = len(data) - 9
    for size in range(whole):
        with pytest.raises(ValueError):
            decode_stack(data[:size], BASE)


def test_a_low_stack_is_of_a_32_bit_program():
    """The address tells the word size."""
    assert not is_64_bit(0xFFFF_0000)
    assert is_64_bit(BASE)


@given(st.binary(max_size=600), st.integers(0, 2**64 - 1))
def test_any_bytes_give_a_stack_or_value_error(data, base):
    """There is no third way."""
    try:
        assert isinstance(decode_stack(data, base), InitialStack)
    except ValueError:
        pass


@given(st.lists(st.integers(0, 40), max_size=80))
def test_any_words_give_a_stack_or_value_error(words):
    """Small numbers find their way deeper into the decoder."""
    try:
        assert isinstance(decode_stack(struct.pack(f"<{len(words)}Q", *words), 0), InitialStack)
    except ValueError:
        pass


@pytest.mark.parametrize("parse", [parse_stat, parse_ids, parse_standing, lambda raw: list(mapped_files(raw))])
def test_any_bytes_give_facts_or_value_error(parse):
    """Every parser of /proc text returns its type or raises ValueError."""

    @given(
        st.one_of(
            st.binary(max_size=300), st.text(alphabet="()0123456789 :-xrUidGTg/\n\t", max_size=300).map(str.encode)
        )
    )
    def check(raw):
        try:
            parse(raw)
        except ValueError:
            pass

    check()


def test_a_status_text_tells_where_a_thread_stands():
    """The five lines that are needed are found among others."""
    raw = b"Name:\tx\nState:\tS (sleeping)\nTgid:\t5\nPPid:\t1\nTracerPid:\t9\nThreads:\t3\n"
    assert parse_standing(raw) == Standing(tgid=5, ppid=1, tracer=9, state="S", threads=3)
