"""Gathering: all sources, read anew where they changed, to what is to be compiled.

A source that cannot be read now is as it was: by what this collector still holds of it, else by what the document that
is in force says under its name. So an outage of a feed takes nothing off the list, and neither does a restart.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct, field

from outrider_collector.lists.compiling import DAY_S, Listed, Network, entries_of
from outrider_collector.lists.entries import Entry, Read
from outrider_collector.lists.fetching import Fetch, fetch
from outrider_collector.lists.misp import Known, read_misp
from outrider_collector.lists.plain import read_csv, read_plain
from outrider_collector.lists.sources import Source
from outrider_collector.lists.stix import read_stix
from outrider_wire.listtable import Label, ListTable, domain_key, file_key, pack_address

EXAMPLES: Final = 8


class SourceState(Struct, frozen=True, kw_only=True):
    """How a source stands, to be told: entries taken, items skipped by reason, and what went wrong last."""

    name: str
    place: str
    entries: int = 0
    skipped: dict[str, int] = {}
    examples: dict[str, str] = {}
    read_at_s: int = 0
    error: str = ""


class _Held(Struct):
    """What this process holds of one source between refreshes."""

    source: Source
    mark: str = ""
    read: Read | None = None
    read_at_s: int = 0
    error: str = ""
    known: Known = field(default_factory=dict)


class Gatherer:
    """Reads sources, and remembers what it read. For one thread."""

    def __init__(self, *, fetch: Fetch = fetch, clock_s: Callable[[], float] = time.time) -> None:
        self._fetch, self._clock_s = fetch, clock_s
        self._held: dict[str, _Held] = {}

    def gather(
        self, sources: Sequence[Source], in_force: ListTable | None = None, *, anew: bool = True
    ) -> tuple[Listed, list[SourceState]]:
        """Everything that is listed now, and how each source stands. Without `anew`, only new sources are read."""
        names = {source.name for source in sources}
        self._held = {name: held for name, held in self._held.items() if name in names}
        listed, states = Listed(), []
        for source in sources:
            held = self._held.get(source.name)
            if held is None or held.source != source:
                held = self._held[source.name] = _Held(source)
                self._refresh(held)
            elif anew:
                self._refresh(held)
            kept = 0
            if held.read is not None:
                _add_all(listed, held, self._clock_s())
            elif in_force is not None:
                kept = entries_of(in_force, {source.name}, listed)
            states.append(_state(held, kept))
        return listed, states

    def _refresh(self, held: _Held) -> None:
        source = held.source
        try:
            if source.format == "misp":
                self._refresh_misp(held)
                return
            fetched = self._fetch(source, source.place, held.mark)
            if fetched.data is not None:
                held.read = _read(fetched.data, source, int(self._clock_s()))
            held.mark, held.read_at_s, held.error = fetched.mark, int(self._clock_s()), ""
        except (OSError, ValueError) as error:
            held.error = (str(error) or type(error).__name__)[:300]

    def _refresh_misp(self, held: _Held) -> None:
        source = held.source
        base = source.place.rstrip("/")
        fetched = self._fetch(source, f"{base}/manifest.json", held.mark)
        if fetched.data is not None:
            held.read = read_misp(
                fetched.data, source, lambda name: self._fetch(source, f"{base}/{name}", "").data or b"", held.known
            )
        failed = held.read is not None and held.read.skipped["an event that could not be read"] > 0
        held.mark = "" if failed else fetched.mark  # those are tried again
        held.read_at_s, held.error = int(self._clock_s()), ""


def show_place(place: str) -> str:
    """A place without what may be a key: no user, no query."""
    if "://" not in place:
        return place
    parts = urlsplit(place)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _read(data: bytes, source: Source, now_s: int) -> Read:
    match source.format:
        case "csv":
            return read_csv(data, source)
        case "stix":
            return read_stix(data, source, now_s=now_s)
        case _:
            return read_plain(data, source)


def _add_all(listed: Listed, held: _Held, now_s: float) -> None:
    """Entries become what they are found by. What ran out before today is left out, so that a day is one version."""
    assert held.read is not None
    today_s = int(now_s) // DAY_S * DAY_S
    source = held.source
    forgotten_at_s = int(held.read_at_s // DAY_S * DAY_S + source.expires_after_days * DAY_S)
    labels: dict[tuple[str, int], Label] = {}
    for entry in held.read.entries:
        said = entry.expires_at_s or (forgotten_at_s if source.expires_after_days else 0)
        if said and said < today_s:
            continue
        label = labels.get((entry.category, said))
        if label is None:
            category = "" if source.trusted else entry.category or source.category
            label = labels[entry.category, said] = Label(source.name, category, said, source.trusted)
        add_entry(listed, entry, label)


def add_entry(listed: Listed, entry: Entry, label: Label) -> None:
    """Add an entry by what it is found by."""
    if entry.kind == "domain":
        listed.add_domain(domain_key(entry.value), label)
    elif entry.kind == "network":
        address, _, length = entry.value.partition("/")
        packed = pack_address(address)
        bits, prefix = len(packed) * 8, int(length)
        first = int.from_bytes(packed, "big")
        listed.add_network(len(packed), Network(first, first | (1 << (bits - prefix)) - 1, prefix, label))
    else:
        listed.add_file(file_key(entry.kind, entry.value), label)
        listed.algorithms.add(entry.kind)


def _state(held: _Held, kept: int) -> SourceState:
    read = held.read if held.read is not None else Read()
    skipped: Counter[str] = read.skipped
    return SourceState(
        name=held.source.name,
        place=show_place(held.source.place),
        entries=len(read.entries) if held.read is not None else kept,
        skipped=dict(skipped.most_common(EXAMPLES)),
        examples=dict(list(read.examples.items())[:EXAMPLES]),
        read_at_s=held.read_at_s,
        error=held.error,
    )
