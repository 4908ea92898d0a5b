"""Exports in the store: how far each has come, who does it, and findings that wait or were given up.

An item is a finding that an export has to remember: `rests` was sent, and a repeat waits until `due_ns`; `waits` is to
be sent at `due_ns`; `dead` was given up, with the reason. All others need no row: the position says that they are done.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    func,
    select,
    update,
)

from outrider_collector.store.database import insert_new, upsert
from outrider_collector.store.feed import newest_change
from outrider_collector.store.stored import StoredFinding, read_stored, stored
from outrider_collector.store.tables import findings, metadata
from outrider_collector.store.texts import column

Status = Literal["rests", "waits", "dead"]

MAX_DEAD: Final = 10_000
"""Most findings that an export keeps as given up; past it the ones given up first are forgotten, and counted."""
MAX_REASON: Final = 500

exports = Table(
    "exports",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("sent_at_ns", BigInteger, nullable=False),
    Column("forgotten", BigInteger, nullable=False),
    Column("failing_since_ns", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
)

export_items = Table(
    "export_items",
    metadata,
    Column("export", String(64), primary_key=True),
    Column("finding", String(32), primary_key=True),
    Column("status", String(8), nullable=False),
    Column("due_ns", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Index("export_items_due", "export", "status", "due_ns"),
)


class ExportRow(Struct, frozen=True):
    """How one export stands. `failing_since_ns` is 0 while its target takes what it is sent.

    `beat` grows while `holder` lives.
    """

    name: str
    position: int
    holder: str = ""
    beat: int = 0
    sent: int = 0
    sent_at_ns: int = 0
    forgotten: int = 0
    failing_since_ns: int = 0
    error: str = ""


class Item(Struct, frozen=True):
    """A finding that an export remembers, by the finding's id. Of a dead one `due_ns` is when it was given up."""

    finding: str
    status: Status
    due_ns: int
    tries: int = 0
    reason: str = ""


def ensure_export(connection: Connection, name: str, *, from_beginning: bool) -> None:
    """Begin a new export; one that is there stays as it is."""
    position = 0 if from_beginning else newest_change(connection)
    row = ExportRow(name, position)
    insert_new(connection, exports, [{field: getattr(row, field) for field in ExportRow.__struct_fields__}])


def load_export(connection: Connection, name: str) -> ExportRow | None:
    """One export, or None."""
    row = connection.execute(select(exports).where(exports.c.name == name)).mappings().first()
    return ExportRow(**row) if row else None


def load_exports(connection: Connection) -> list[ExportRow]:
    """All exports there ever were, by name."""
    return [ExportRow(**row) for row in connection.execute(select(exports).order_by(exports.c.name)).mappings()]


def take_lease(connection: Connection, seen: ExportRow, holder: str) -> bool:
    """Become the one who exports, if the row still is as it was seen."""
    mine = update(exports).where(
        exports.c.name == seen.name, exports.c.holder == seen.holder, exports.c.beat == seen.beat
    )
    return connection.execute(mine.values(holder=holder, beat=exports.c.beat + 1)).rowcount == 1


def release_lease(connection: Connection, name: str, holder: str) -> None:
    """Let others have it at once."""
    connection.execute(update(exports).where(exports.c.name == name, exports.c.holder == holder).values(holder=""))


def beat(connection: Connection, name: str, holder: str, *, error: str, failing_since_ns: int) -> bool:
    """Say that the holder lives, and how its target does; False where another has taken over."""
    mine = update(exports).where(exports.c.name == name, exports.c.holder == holder)
    said = {"error": column(error, MAX_REASON), "failing_since_ns": failing_since_ns}
    return connection.execute(mine.values(beat=exports.c.beat + 1, **said)).rowcount == 1


def advance(connection: Connection, name: str, holder: str, *, position: int, sent: int, now_ns: int) -> bool:
    """Move the position; False where another has taken over."""
    mine = update(exports).where(exports.c.name == name, exports.c.holder == holder)
    moved = {"position": position, "beat": exports.c.beat + 1}
    if sent:
        moved |= {"sent": exports.c.sent + sent, "sent_at_ns": now_ns, "error": "", "failing_since_ns": 0}
    return connection.execute(mine.values(moved)).rowcount == 1


def load_items(connection: Connection, name: str, ids: Collection[str]) -> dict[str, Item]:
    """What is remembered of these findings."""
    wanted = select(export_items).where(export_items.c.export == name, export_items.c.finding.in_(ids))
    return {row["finding"]: _item(row) for row in connection.execute(wanted).mappings()}


def load_due(connection: Connection, name: str, now_ns: int, *, limit: int) -> list[tuple[Item, StoredFinding | None]]:
    """Items whose time has come, the longest due first, with the finding as it is now; None where it is gone."""
    wanted = select(export_items).where(
        export_items.c.export == name, export_items.c.status == "waits", export_items.c.due_ns <= now_ns
    )
    rows = connection.execute(wanted.order_by(export_items.c.due_ns).limit(limit)).mappings()
    items = [_item(row) for row in rows]
    if not items:
        return []
    found = connection.execute(stored().where(findings.c.id.in_([item.finding for item in items])))
    by_id = {each.id: each for each in map(read_stored, found)}
    return [(item, by_id.get(item.finding)) for item in items]


def count_items(connection: Connection, name: str, status: Status, *, tried: bool = False) -> int:
    """How many items there are of a status; only those that failed before, where that is asked."""
    alike = (export_items.c.status == status) & (export_items.c.tries >= int(tried))
    wanted = select(func.count()).select_from(export_items).where(export_items.c.export == name, alike)
    counted: int = connection.execute(wanted).scalar_one()
    return counted


def save_items(connection: Connection, name: str, items: Sequence[Item]) -> int:
    """Remember these, in place of what was remembered of the same findings; how many dead ones had to be forgotten."""
    upsert(
        connection,
        export_items,
        [
            {
                "export": name,
                "finding": item.finding,
                "status": item.status,
                "due_ns": item.due_ns,
                "tries": item.tries,
                "reason": column(item.reason, MAX_REASON),
            }
            for item in items
        ],
    )
    if not any(item.status == "dead" for item in items):
        return 0
    return _forget_oldest(connection, name)


def _forget_oldest(connection: Connection, name: str) -> int:
    extra = count_items(connection, name, "dead") - MAX_DEAD
    if extra <= 0:
        return 0
    dead = select(export_items.c.finding).where(export_items.c.export == name, export_items.c.status == "dead")
    oldest = list(connection.execute(dead.order_by(export_items.c.due_ns).limit(extra)).scalars())
    drop_items(connection, name, oldest)
    connection.execute(update(exports).where(exports.c.name == name).values(forgotten=exports.c.forgotten + extra))
    return extra


def drop_items(connection: Connection, name: str, ids: Collection[str]) -> None:
    """Remember these no longer."""
    if ids:
        connection.execute(delete(export_items).where(export_items.c.export == name, export_items.c.finding.in_(ids)))


def drop_rested(connection: Connection, name: str, now_ns: int) -> None:
    """Forget those that were sent and have rested."""
    rested = (export_items.c.status == "rests") & (export_items.c.due_ns <= now_ns)
    connection.execute(delete(export_items).where(export_items.c.export == name, rested))


def list_dead(connection: Connection, name: str, *, limit: int = 100) -> list[Item]:
    """Findings that were given up, the latest first."""
    wanted = select(export_items).where(export_items.c.export == name, export_items.c.status == "dead")
    rows = connection.execute(wanted.order_by(export_items.c.due_ns.desc(), export_items.c.finding).limit(limit))
    return [_item(row) for row in rows.mappings()]


def ask_retry(connection: Connection, name: str, ids: Collection[str] | None = None) -> int:
    """Have given up findings tried anew, all or these; how many."""
    mine = update(export_items).where(export_items.c.export == name, export_items.c.status == "dead")
    if ids is not None:
        mine = mine.where(export_items.c.finding.in_(ids))
    return connection.execute(mine.values(status="waits", due_ns=0, tries=0)).rowcount


def happened_last(connection: Connection, changes: Collection[int]) -> set[int]:
    """Those of these changes that are an occurrence, not something that was done about a finding."""
    wanted = select(findings.c.change).where(findings.c.change.in_(changes), findings.c.change == findings.c.latest)
    return set(connection.execute(wanted).scalars())


def _item(row: object) -> Item:
    return Item(**{name: row[name] for name in Item.__struct_fields__})  # type: ignore[index]
