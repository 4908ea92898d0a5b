"""Entries of threat lists that people add by hand, in the store, where all collectors that share it find them.

Whoever adds or removes takes the feed's counter first, so the bound holds whoever else writes.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import BigInteger, Boolean, Column, Connection, Table, delete, func, insert, select, tuple_

from outrider_collector.store.feed import take_numbers
from outrider_collector.store.tables import metadata, number, text

MAX_ENTRIES: Final = 10_000
"""Most entries of all lists by hand together: what is longer belongs in a source."""

list_entries = Table(
    "list_entries",
    metadata,
    Column("list", text(64), primary_key=True),
    Column("kind", text(8), primary_key=True),
    Column("value", text(256), primary_key=True),
    Column("number", number(), nullable=False, unique=True),
    Column("category", text(32), nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("expires_at_ns", BigInteger, nullable=False),
    Column("made_at_ns", BigInteger, nullable=False),
    Column("who", text(256), nullable=False),
    Column("why", text(512), nullable=False),
)

Key = tuple[str, str, str]


class ListEntry(Struct, frozen=True, kw_only=True):
    """One entry. `value` is in normal form, `category` empty where `trusted`, `expires_at_ns` 0 for never.

    `number` is given when it is saved, and another one whenever it is changed.
    """

    list: str
    kind: str
    value: str
    category: str
    trusted: bool
    expires_at_ns: int
    made_at_ns: int
    who: str
    why: str
    number: int = 0

    @property
    def key(self) -> Key:
        """What there is one of."""
        return self.list, self.kind, self.value


def save_entries(connection: Connection, entries: list[ListEntry], *, now_ns: int) -> dict[Key, ListEntry]:
    """Put entries in the place of those with the same key; what had run out goes. Gives those that were replaced.

    Raises:
        ValueError: there would be more than `MAX_ENTRIES`.
    """
    numbers = take_numbers(connection, len(entries))
    expired = (list_entries.c.expires_at_ns > 0) & (list_entries.c.expires_at_ns <= now_ns)
    connection.execute(delete(list_entries).where(expired))
    before = remove_entries(connection, [entry.key for entry in entries])
    kept = connection.execute(select(func.count()).select_from(list_entries)).scalar_one()
    if kept + len(entries) > MAX_ENTRIES:
        raise ValueError(f"lists by hand have at most {MAX_ENTRIES} entries; remove some, or make them a source")
    rows = [_row(entry) | {"number": given} for entry, given in zip(entries, numbers, strict=True)]
    connection.execute(insert(list_entries), rows)
    return before


def remove_entries(connection: Connection, keys: list[Key]) -> dict[Key, ListEntry]:
    """Take entries away; those that were there."""
    take_numbers(connection, 0)
    columns = list_entries.c
    these = tuple_(columns.list, columns.kind, columns.value).in_(keys)
    found = connection.execute(select(list_entries).where(these)).mappings()
    before = {entry.key: entry for entry in (ListEntry(**row) for row in found)}
    connection.execute(delete(list_entries).where(these))
    return before


def load_entries(
    connection: Connection, *, name: str = "", after: int = 0, limit: int = MAX_ENTRIES
) -> list[ListEntry]:
    """Entries by their numbers, of one list or of all."""
    query = select(list_entries).where(list_entries.c.number > after)
    if name:
        query = query.where(list_entries.c.list == name)
    rows = connection.execute(query.order_by(list_entries.c.number).limit(limit)).mappings()
    return [ListEntry(**row) for row in rows]


def entries_mark(connection: Connection) -> tuple[int, int]:
    """The greatest number and how many there are: the same for the same entries alone, since a number is given once."""
    number = list_entries.c.number
    greatest, count = connection.execute(select(func.coalesce(func.max(number), 0), func.count())).one()
    return greatest, count


def _row(entry: ListEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}
