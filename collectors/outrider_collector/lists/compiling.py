"""Compiling: the entries of all sources to one table, in which everything is said once.

Who is trusted wins over everybody; then the category that is told of first in `ORDER`, then others by name; then the
source of the smaller name. Of networks that lie within one another the narrowest is meant, but what is trusted stays
trusted whatever lies within. So the table follows from the entries alone, whatever order they came in.
"""

import heapq
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Final, TypeVar

from msgspec import Struct

from outrider_wire.lists import MAX_TABLE_BYTES
from outrider_wire.listtable import (
    MAX_LABELS,
    MAX_ROWS,
    Label,
    ListTable,
    Range,
    TableShape,
    pack_table,
)

ORDER: Final = ("c2", "mining", "drop-point", "phishing", "drive-by", "dga", "blackhole", "malicious", "tor")
DAY_S: Final = 86_400
_ROUNDINGS_S: Final = (1, 3600, DAY_S, 30 * DAY_S)
"""Expiries are rounded up so far that what is said of entries is not too many different things."""


T = TypeVar("T")


class Network(Struct, frozen=True, gc=False):
    """A range of addresses, both ends included, with what is said of it; `prefix` is what it was listed with."""

    first: int
    last: int
    prefix: int
    label: Label


class Listed(Struct):
    """What is to be compiled, by what it is found by."""

    domains: dict[bytes, Label] = {}
    files: dict[bytes, Label] = {}
    networks: dict[int, list[Network]] = {}
    algorithms: set[str] = set()

    def add_domain(self, key: bytes, label: Label) -> None:
        self.domains[key] = _stronger(self.domains.get(key), label)

    def add_file(self, key: bytes, label: Label) -> None:
        self.files[key] = _stronger(self.files.get(key), label)

    def add_network(self, width: int, network: Network) -> None:
        self.networks.setdefault(width, []).append(network)


class Compiled(Struct, frozen=True):
    """A table, and what had no room in it, by section."""

    table: bytes
    shape: TableShape
    left_out: Counter[str]


def compile_lists(listed: Listed, *, max_rows: int = MAX_ROWS) -> Compiled:
    """Lay everything out. What has no room is left out: the last by key, so always the same."""
    left_out: Counter[str] = Counter()
    domains = _bounded(sorted(listed.domains.items()), "domains", max_rows, left_out)
    files = _bounded(sorted(listed.files.items()), "files", max_rows, left_out)
    ipv4, ipv6 = (
        _bounded(list(flatten(listed.networks.get(width, []))), name, max_rows, left_out)
        for width, name in ((4, "ipv4"), (16, "ipv6"))
    )
    used = {label for _, label in domains} | {label for _, label in files}
    used |= {network.label for network in (*ipv4, *ipv6)}
    labels, numbers = _number_labels(used)
    algorithms = tuple(sorted(listed.algorithms)) if files else ()
    table, shape = pack_table(
        labels,
        [(key, numbers[label]) for key, label in domains],
        [(key, numbers[label]) for key, label in files],
        [Range(each.first, each.last, each.prefix, numbers[each.label]) for each in ipv4],
        [Range(each.first, each.last, each.prefix, numbers[each.label]) for each in ipv6],
        algorithms,
    )
    if len(table) > MAX_TABLE_BYTES:
        return compile_lists(listed, max_rows=max_rows // 2)
    return Compiled(table, shape, left_out)


def entries_of(table: ListTable, sources: Container[str], into: Listed) -> int:
    """Take over what a table says by these sources: they could not be read again. How many that are."""
    count = 0
    for key, label in table.domain_keys():
        if label.source in sources:
            into.add_domain(key, label)
            count += 1
    for key, label in table.file_keys():
        if label.source in sources:
            into.add_file(key, label)
            into.algorithms.update(table.shape.algorithms)
            count += 1
    for width in (4, 16):
        for first, last, prefix, label in table.networks(width):
            if label.source in sources:
                into.add_network(width, Network(first, last, prefix, label))
                count += 1
    return count


def flatten(networks: Iterable[Network]) -> Iterator[Network]:
    """Ranges that do not overlap, in order: in each place the one that is meant there."""
    ordered = sorted(set(networks), key=lambda each: (each.first, each.last, _rank(each)))
    open_now: list[tuple[tuple[object, ...], Network]] = []
    pending: Network | None = None
    for network in _pieces(ordered, open_now):
        if pending is not None and _continues(pending, network):
            pending = Network(pending.first, network.last, pending.prefix, pending.label)
            continue
        if pending is not None:
            yield pending
        pending = network
    if pending is not None:
        yield pending


def _pieces(ordered: list[Network], open_now: list[tuple[tuple[object, ...], Network]]) -> Iterator[Network]:
    """Between any two places where a range begins or ends, the strongest of those that are open there."""
    at = 0
    position = 0
    while at < len(ordered) or open_now:
        while open_now and open_now[0][1].last < position:
            heapq.heappop(open_now)
        if not open_now:
            if at == len(ordered):
                return
            position = ordered[at].first
        while at < len(ordered) and ordered[at].first <= position:
            heapq.heappush(open_now, (_rank(ordered[at]), ordered[at]))
            at += 1
        strongest = open_now[0][1]
        end = strongest.last
        if at < len(ordered):
            end = min(end, ordered[at].first - 1)
        yield Network(position, end, strongest.prefix, strongest.label)
        position = end + 1


def _continues(before: Network, after: Network) -> bool:
    same = (before.prefix, before.label) == (after.prefix, after.label)
    return same and before.last + 1 == after.first


def _rank(network: Network) -> tuple[object, ...]:
    """The smallest is meant: trusted, then narrow, then by label."""
    return (not network.label.trusted, -network.prefix, *_strength(network.label), network.first, network.last)


def _stronger(known: Label | None, label: Label) -> Label:
    if known is None or known == label:
        return label
    return min(known, label, key=lambda each: (not each.trusted, *_strength(each)))


def _strength(label: Label) -> tuple[int, str, str, float]:
    """By category, then source; of two expiries the later."""
    place = ORDER.index(label.category) if label.category in ORDER else len(ORDER)
    return place, label.category, label.source, -(label.expires_at_s or float("inf"))


def _bounded(rows: list[T], name: str, most: int, left_out: Counter[str]) -> list[T]:
    if len(rows) > most:
        left_out[name] += len(rows) - most
    return rows[:most]


def _number_labels(used: set[Label]) -> tuple[list[Label], dict[Label, int]]:
    """Labels in order, and the number of each as it is used; expiries are rounded up where they are too many."""
    for rounding_s in _ROUNDINGS_S:
        rounded = {label: _round_up(label, rounding_s) for label in used}
        distinct = sorted(set(rounded.values()), key=_in_order)
        if len(distinct) <= MAX_LABELS:
            break
    else:
        raise ValueError("more sources and categories than a table can tell apart")
    numbers = {label: number for number, label in enumerate(distinct)}
    return distinct, {label: numbers[changed] for label, changed in rounded.items()}


def _in_order(label: Label) -> tuple[str, str, int, bool]:
    return label.source, label.category, label.expires_at_s, label.trusted


def _round_up(label: Label, to_s: int) -> Label:
    return Label(label.source, label.category, -(-label.expires_at_s // to_s) * to_s, label.trusted)
