"""The list document: deterministic, found in by search, and refused when it is forged, cut, or a bomb."""

import hashlib
import ipaddress
import itertools
import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_collector.lists.compiling import Listed, Network, compile_lists, entries_of, flatten
from outrider_wire.errors import WireError
from outrider_wire.lists import FORMAT, MAGIC, ListHeader, open_lists, seal_lists
from outrider_wire.listtable import Label, ListTable, TableShape, domain_key, file_key
from outrider_wire.signing import SigningKey

KEY = SigningKey.from_seed(bytes(32))
BAD = Label("bad", "c2")
GOOD = Label("good", "", 0, True)


def network(text: str, label: Label = BAD) -> tuple[int, Network]:
    parsed = ipaddress.ip_network(text)
    width = parsed.max_prefixlen // 8
    return width, Network(int(parsed[0]), int(parsed[-1]), parsed.prefixlen, label)


def listed(*networks: tuple[str, Label], domains: dict[str, Label] | None = None) -> Listed:
    made = Listed()
    for text, label in networks:
        made.add_network(*network(text, label))
    for name, label in (domains or {}).items():
        made.add_domain(domain_key(name), label)
    return made


def sealed(made: Listed, *, version: int = 1) -> bytes:
    compiled = compile_lists(made)
    return seal_lists(KEY, compiled.table, compiled.shape, version=version)[0]


SMALL = sealed(listed(("198.51.100.0/24", BAD), ("2001:db8::/32", BAD), domains={"evil.example": BAD}))


def test_what_went_in_is_found():
    """Domains exactly, addresses by the network they fall under, files by algorithm; and nothing else."""
    made = listed(
        ("198.51.100.0/24", BAD), ("198.51.100.7/32", GOOD), ("2001:db8::/32", BAD), domains={"a.example": BAD}
    )
    made.add_file(file_key("sha256", "a" * 64), BAD)
    made.algorithms.add("sha256")
    table = open_lists(sealed(made), KEY.public).table
    assert table.find_domain("a.example") == BAD
    assert table.find_domain("b.example") is None
    assert table.find_file("sha256", "a" * 64) == BAD
    assert table.find_file("sha1", "a" * 64) is None
    hits = {
        text: table.find_address(text)
        for text in ("198.51.100.6", "198.51.100.7", "2001:db8:1::1", "::ffff:198.51.100.8")
    }
    assert {text: hit and (hit.label, hit.listed_as) for text, hit in hits.items()} == {
        "198.51.100.6": (BAD, "198.51.100.0/24"),
        "198.51.100.7": (GOOD, "198.51.100.7"),
        "2001:db8:1::1": (BAD, "2001:db8::/32"),
        "::ffff:198.51.100.8": (BAD, "198.51.100.0/24"),
    }
    for text in ("198.51.101.0", "198.51.99.255", "0.0.0.0", "255.255.255.255", "2001:db9::", "::", "nonsense", ""):
        assert table.find_address(text) is None


_NETWORKS = st.lists(
    st.tuples(
        st.integers(0, 255), st.integers(24, 32), st.sampled_from([BAD, GOOD, Label("x", "tor"), Label("y", "c2", 9)])
    ),
    max_size=12,
)


@given(_NETWORKS)
@settings(max_examples=150, deadline=None)
def test_flattened_networks_say_what_the_whole_list_says(rows):
    """For every address: trusted wins, then the narrowest, as a walk over the whole list finds it."""
    networks = [
        network(str(ipaddress.ip_network((f"192.0.2.{byte}", prefix), strict=False)), label)
        for byte, prefix, label in rows
    ]
    flat = list(flatten(each for _, each in networks))
    assert all(before.last < after.first for before, after in itertools.pairwise(flat))
    base = int(ipaddress.ip_address("192.0.2.0"))
    for address in range(base, base + 256):
        over = [each for _, each in networks if each.first <= address <= each.last]
        found = [each for each in flat if each.first <= address <= each.last]
        assert bool(over) == bool(found)
        if over:
            trusted = [each for each in over if each.label.trusted]
            narrowest = max(each.prefix for each in trusted or over)
            assert found[0].label in [each.label for each in trusted or over if each.prefix == narrowest]


@given(st.permutations(list(range(6))))
def test_the_order_of_sources_makes_no_difference(order):
    """The same lists are the same bytes."""
    items = [("198.51.100.0/24", BAD), ("198.51.100.0/25", Label("z", "tor")), ("198.51.100.0/24", Label("a", "c2"))]
    names = [("e.example", BAD), ("e.example", Label("a", "mining")), ("e.example", Label("q", "c2", 7))]
    made = Listed()
    for number in order:
        if number < 3:
            made.add_network(*network(*items[number]))
        else:
            name, label = names[number - 3]
            made.add_domain(domain_key(name), label)
    reference = listed(*items)
    for name, label in names:
        reference.add_domain(domain_key(name), label)
    assert sealed(made) == sealed(reference)


def test_a_source_is_taken_over_from_what_is_in_force():
    """A feed that is out is as it was, and the other sources do not come along."""
    other = Label("other", "tor")
    made = listed(("198.51.100.0/24", BAD), ("2001:db8::/32", other), domains={"a.example": BAD, "b.example": other})
    made.add_file(file_key("md5", "a" * 32), BAD)
    made.algorithms.add("md5")
    again = Listed()
    assert entries_of(open_lists(sealed(made), KEY.public).table, {"bad"}, again) == 3
    expected = listed(("198.51.100.0/24", BAD), domains={"a.example": BAD})
    expected.add_file(file_key("md5", "a" * 32), BAD)
    expected.algorithms.add("md5")
    assert sealed(again) == sealed(expected)


def refusal(data: bytes, public: bytes = KEY.public, **more: int) -> str:
    with pytest.raises(WireError) as refused:
        open_lists(data, public, **more)
    return refused.value.code


def test_another_key_is_refused():
    """Whoever else signs it, it is not taken."""
    assert refusal(SMALL, SigningKey.generate().public) == "bad-signature"


def test_every_cut_and_every_changed_byte_is_refused():
    """Nothing of a damaged document is used."""
    for end in range(len(SMALL)):
        assert refusal(SMALL[:end]) in ("bad-magic", "truncated", "bad-signature")
    for at in range(len(SMALL)):
        assert refusal(SMALL[:at] + bytes([SMALL[at] ^ 1]) + SMALL[at + 1 :])
    assert refusal(SMALL + b"x") == "truncated"


def signed(table_blob: bytes, shape: TableShape, **changes: object) -> bytes:
    """A document that holds together, whatever it holds."""
    facts = {"format": FORMAT, "version": 1, "shape": shape, "size": len(table_blob)}
    header = ListHeader(**{**facts, "sha256": hashlib.sha256(table_blob).digest(), **changes})  # type: ignore[arg-type]
    packed = msgspec.msgpack.encode(header)
    head = MAGIC + len(packed).to_bytes(4, "big") + packed
    return head + KEY.sign(b"outrider lists 1\0" + head) + table_blob


def test_a_bomb_is_not_inflated():
    """A table that inflates to more than was announced costs no more than was announced; a longer one is not begun."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    tracemalloc.start()
    try:
        assert refusal(signed(bomb, TableShape(labels=1, domains=10))) == "bad-blob"
        assert (
            refusal(
                signed(bomb, TableShape(labels=1, domains=1_000_000, files=1_000_000, ipv4=1_000_000)),
                max_table_bytes=1 << 20,
            )
            == "too-large"
        )
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_signed_table_that_makes_no_sense_is_refused():
    """Labels that there are not, labels that are none, a longer stream, another format."""
    compiled = compile_lists(listed(domains={"a.example": BAD}))
    table, shape = compiled.table, compiled.shape
    assert refusal(signed(zlib.compress(table[:-1] + b"\7"), shape)) == "bad-table"
    assert refusal(signed(zlib.compress(b"\xc1" + table[1:]), shape)) == "bad-table"
    assert refusal(signed(zlib.compress(table + b"x"), shape)) == "bad-blob"
    assert refusal(signed(zlib.compress(table)[:-2], shape)) == "bad-blob"
    assert refusal(signed(zlib.compress(table) + bytes(100_000), shape)) == "bad-blob"
    assert refusal(signed(zlib.compress(table), shape, format=2)) == "unknown-version"
    assert refusal(signed(b"no stream", shape)) == "bad-blob"
    assert refusal(b"ORL1" + (1 << 30).to_bytes(4, "big")) == "too-large"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data):
    """There is no third way."""
    assert refusal(data)
    assert refusal(MAGIC + data)


def test_what_has_no_room_is_left_out_and_counted():
    """A bound is kept, the same way each time."""
    made = listed(domains={f"{number}.example": BAD for number in range(10)})
    compiled = compile_lists(made, max_rows=4)
    assert compiled.shape.domains == 4
    assert compiled.left_out == {"domains": 6}


def test_an_empty_list_is_a_document_too():
    """That is how everything is taken back."""
    assert len(open_lists(sealed(Listed()), KEY.public).table) == 0


def test_half_a_million_entries_take_a_stated_room():
    """500,000 domains, 200,000 networks and 200,000 digests: under 10 MiB, and found in well under a millisecond."""
    made = Listed(algorithms={"sha256"})
    for number in range(500_000):
        made.domains[hashlib.blake2b(number.to_bytes(4, "big"), digest_size=8).digest()] = BAD
    for number in range(200_000):
        made.files[hashlib.blake2b(number.to_bytes(5, "big"), digest_size=8).digest()] = BAD
    made.networks[4] = [Network(number << 10, (number << 10) + 255, 24, BAD) for number in range(200_000)]
    compiled = compile_lists(made)
    data, _ = seal_lists(KEY, compiled.table, compiled.shape, version=1)
    del made, compiled
    tracemalloc.start()
    try:
        table = open_lists(data, KEY.public).table
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 10 << 20
    assert peak < 16 << 20
    assert isinstance(table, ListTable)
    assert table.find_address("12.2.100.9") is not None
