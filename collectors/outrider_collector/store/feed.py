"""The feed: one counter that numbers every change of a finding, in the order in which changes are committed.

Whoever writes findings takes numbers from it first, and holds its row until the transaction ends. So on both engines a
number is given only once all smaller ones are committed or given up: who reads `change > cursor` in order misses
nothing that commits late, whichever collector wrote it. The price is that findings are written by one transaction at
a time; that is the last thing a transaction does, and takes milliseconds.

Numbers may be skipped, and a finding that changes again moves to its new number: a reader sees its newest state once.
"""

from sqlalchemy import Connection, select, update

from outrider_collector.store.tables import feed

_FINDINGS = "findings"


def take_numbers(connection: Connection, count: int) -> range:
    """So many new numbers. From here on nobody else writes findings until this transaction ends."""
    taken = update(feed).where(feed.c.name == _FINDINGS).values(change=feed.c.change + count)
    last: int = connection.execute(taken.returning(feed.c.change)).scalar_one()
    return range(last - count + 1, last + 1)


def newest_change(connection: Connection) -> int:
    """The newest number given: where a reader begins who wants no more than what is yet to come."""
    found: int = connection.execute(select(feed.c.change).where(feed.c.name == _FINDINGS)).scalar_one()
    return found
