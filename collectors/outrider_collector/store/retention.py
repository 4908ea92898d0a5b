"""Retention: what is too old goes, a little in each transaction, so that nobody waits for it.

A finding keeps its latest occurrence, whatever its age: it is what the finding says. Where an agent's old batches are
forgotten, it is noted up to which number (`forgotten_before`), so that they cannot come again as new ones.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, Engine, Select, and_, delete, func, select, tuple_, update

from outrider_collector.store.agents import lock_agents
from outrider_collector.store.database import writing
from outrider_collector.store.feed import take_numbers
from outrider_collector.store.tables import agents, audit, batches, findings, notes, occurrences

CHUNK: Final = 2000
"""Rows of one transaction."""
DAY_NS: Final = 86_400_000_000_000


class Ages(Struct, frozen=True, kw_only=True):
    """After how many days things go; 0 keeps them for ever. A finding goes so long after it was last seen."""

    occurrences: float = 90
    batches: float = 90
    findings: float = 0
    audit: float = 0


class Pruned(Struct, frozen=True, kw_only=True):
    """How many rows went."""

    occurrences: int = 0
    batches: int = 0
    findings: int = 0
    audit: int = 0


def prune(engine: Engine, ages: Ages, now_ns: int, *, stopped: Callable[[], bool] = lambda: False) -> Pruned:
    """Remove what is too old, or what of it there is time for until `stopped`. Raises SQLAlchemyError.

    What is done by then is done.
    """

    def before_ns(days: float) -> int:
        return now_ns - int(days * DAY_NS) if days > 0 else 0

    return Pruned(
        findings=_repeat(engine, _prune_findings, before_ns(ages.findings), stopped),
        occurrences=_prune_occurrences(engine, before_ns(ages.occurrences), stopped),
        batches=_repeat(engine, _prune_batches, before_ns(ages.batches), stopped),
        audit=_repeat(engine, _prune_audit, before_ns(ages.audit), stopped),
    )


def _repeat(engine: Engine, step: Callable[[Connection, int], int], before_ns: int, stopped: Callable[[], bool]) -> int:
    """Take steps until one finds nothing more; how many rows they removed."""
    done = 0
    while before_ns > 0 and not stopped():
        with writing(engine) as connection:
            gone = step(connection, before_ns)
        if not gone:
            break
        done += gone
    return done


def _prune_findings(connection: Connection, before_ns: int) -> int:
    take_numbers(connection, 1)  # none of them is seen again meanwhile
    query = select(findings.c.number).where(findings.c.last_seen_ns < before_ns)
    old = list(connection.execute(query.order_by(findings.c.last_seen_ns).limit(CHUNK)).scalars())
    for key in (occurrences.c.finding, notes.c.finding, findings.c.number):
        connection.execute(delete(key.table).where(key.in_(old)))
    return len(old)


def _prune_occurrences(engine: Engine, before_ns: int, stopped: Callable[[], bool]) -> int:
    """Walks on past those that stay because they are some finding's latest."""
    done, after = 0, (0, 0)
    key = tuple_(occurrences.c.received_at_ns, occurrences.c.position)
    old = select(occurrences.c.received_at_ns, occurrences.c.position).where(occurrences.c.received_at_ns < before_ns)
    while before_ns > 0 and not stopped():
        with engine.connect() as connection:
            rows = connection.execute(old.where(key > after).order_by(*key).limit(CHUNK)).all()
        if not rows:
            break
        after = (rows[-1][0], rows[-1][1])
        with writing(engine) as connection:
            take_numbers(connection, 1)
            told = [row[1] for row in rows]
            kept = set(connection.execute(_latest_of(told)).scalars())
            gone = [position for position in told if position not in kept]
            connection.execute(delete(occurrences).where(occurrences.c.position.in_(gone)))
        done += len(gone)
    return done


def _latest_of(positions: list[int]) -> "Select[int]":
    both = occurrences.join(findings, findings.c.number == occurrences.c.finding)
    wanted = select(findings.c.latest).select_from(both)
    return wanted.where(occurrences.c.position.in_(positions), findings.c.latest == occurrences.c.position)


def _prune_batches(connection: Connection, before_ns: int) -> int:
    """Those of some agents, up to each one's newest that is too old."""
    some = select(batches.c.agent, batches.c.sequence).where(batches.c.received_at_ns < before_ns)
    chunk = some.order_by(batches.c.received_at_ns).limit(CHUNK).subquery()
    newest = select(chunk.c.agent, func.max(chunk.c.sequence)).group_by(chunk.c.agent)
    upto: dict[str, int] = {row[0]: row[1] for row in connection.execute(newest)}
    lock_agents(connection, sorted(upto))
    gone = 0
    for agent, last in sorted(upto.items()):
        mine = and_(batches.c.agent == agent, batches.c.sequence <= last, batches.c.received_at_ns < before_ns)
        forget = update(agents).where(agents.c.agent == agent, agents.c.forgotten_before <= last)
        connection.execute(forget.values(forgotten_before=last + 1))
        gone += connection.execute(delete(batches).where(mine)).rowcount
    return gone


def _prune_audit(connection: Connection, before_ns: int) -> int:
    query = select(audit.c.number).where(audit.c.at_ns < before_ns).order_by(audit.c.at_ns).limit(CHUNK)
    old = list(connection.execute(query).scalars())
    connection.execute(delete(audit).where(audit.c.number.in_(old)))
    return len(old)
