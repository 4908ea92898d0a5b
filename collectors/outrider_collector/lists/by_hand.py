"""Lists by hand: what an operator adds is compiled beside the sources, under names that no source can have.

A collector that has no file of sources must not take those of others off the list: it carries over what is in force
of them. Of that, an entry that one by hand had covered is missing until a collector with sources compiles again.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from outrider_collector.lists.compiling import DAY_S, Listed, entries_of
from outrider_collector.lists.entries import Entry, Kind, read_indicator
from outrider_collector.lists.gathering import SourceState, add_entry
from outrider_collector.store.list_entries import ListEntry
from outrider_wire.listtable import Label, ListTable

PREFIX: Final = "hand:"
"""Labels and states of lists by hand begin so; a source's name has no colon."""
PLACE: Final = "by hand"

_TAKEN: Final = "give a domain, an address, a network, or a digest (MD5, SHA-1 or SHA-256 in hex)"
_TOLD: Final = 3
_SHOWN: Final = 60


def read_values(values: Sequence[str]) -> list[tuple[Kind, str]]:
    """Texts to what they name, each once, in their order.

    Raises:
        ValueError: tells of the first few that are nothing that can be listed.
    """
    found: dict[tuple[Kind, str], None] = {}
    wrong: list[str] = []
    for place, text in enumerate(values):
        try:
            found[read_indicator(text)] = None
        except ValueError as error:
            wrong.append(f"values[{place}] {text[:_SHOWN]!r}: {error}")
    if wrong:
        more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise ValueError(f"{_TAKEN}: {'; '.join(wrong[:_TOLD])}{more}")
    return list(found)


def carry_over(table: ListTable | None) -> Listed:
    """All that is in force of sources."""
    listed = Listed()
    if table is not None:
        entries_of(table, {label.source for label in table.labels if not label.source.startswith(PREFIX)}, listed)
    return listed


def has_by_hand(table: ListTable | None) -> bool:
    """Whether anything that was listed by hand is in force."""
    return table is not None and any(label.source.startswith(PREFIX) for label in table.labels)


def add_by_hand(listed: Listed, entries: Iterable[ListEntry], now_s: float) -> list[SourceState]:
    """Add what was listed by hand; how each of these lists stands. What ran out before today is left out."""
    today_s = int(now_s) // DAY_S * DAY_S
    lists: dict[str, list[ListEntry]] = {}
    for entry in entries:
        lists.setdefault(entry.list, []).append(entry)
        expires_at_s = -(-entry.expires_at_ns // 10**9)
        if not expires_at_s or expires_at_s >= today_s:
            label = Label(PREFIX + entry.list, entry.category, expires_at_s, entry.trusted)
            add_entry(listed, Entry(entry.kind, entry.value), label)  # type: ignore[arg-type]  # a column is any text
    return [_state(name, lists[name]) for name in sorted(lists)]


def _state(name: str, entries: list[ListEntry]) -> SourceState:
    changed_at_s = max(entry.made_at_ns for entry in entries) // 10**9
    return SourceState(name=PREFIX + name, place=PLACE, entries=len(entries), read_at_s=changed_at_s)
