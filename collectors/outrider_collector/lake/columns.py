"""Columns: what is said in records of every class, made for many rows at once.

What follows from a row's class or origin alone is not here: `finishing` adds it when a file is written. Numbers of a
guarded task or a hostile agent may be of any size; what a column cannot hold becomes null.
"""

from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from outrider_collector.lake.memory import Known
from outrider_collector.lake.origins import MAX_EARLIER_NS, MAX_LATER_NS
from outrider_collector.lake.rows import Row
from outrider_wire.events import ProcessId
from outrider_wire.timestamps import to_rfc3339

MAX_RAW_BYTES: Final = 65_000
"""Longest raw record kept as it is; OCSF's strings end at 65,535 characters."""

HOSTNAME: Final = (
    r"^(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9])$"
)
"""What OCSF calls a hostname; a DNS name may be more than that (`_dmarc.example.com`)."""

NO_PROCESS: Final = ProcessId(-1 << 40, -1 << 70)  # beyond what a column holds: it becomes null
MILLION: Final = 1_000_000

NOTHING: Final = pa.scalar(None, pa.string())

_encoder = msgspec.json.Encoder()

Flat = dict[str, pa.Array]
"""Columns by their path."""

_TOP: Final = (1 << 63) - 1


class Told(Struct):
    """The rows of one kind, taken apart: each list and column is as long as the others.

    `received` is in nanoseconds; `pids` and the rest are of the process of each row and of its parent.
    """

    events: Sequence[Any]
    actors: Sequence[Known]
    raw: pa.Array
    origins: pa.Array
    numbers: pa.Array
    received: pa.Array
    pids: pa.Array
    ticks: pa.Array
    parent_pids: pa.Array
    parent_ticks: pa.Array


class Origins(Struct):
    """When the batch of each origin was received, in nanoseconds, and the number that the first of them has."""

    received_at_ns: pa.Array
    first: int


def take_apart(rows: Sequence[Row], known: Origins) -> Told:
    """Rows as lists, with the raw record of each; one that is too long is shortened, and its raw record left out."""
    told, origins, actors, numbers = zip(*rows, strict=True)
    events = list(told)
    raw = _encoded(events)
    for index in pc.indices_nonzero(pc.is_null(raw)).to_pylist():
        events[index] = shorten(events[index])
    return make_told(events, actors, raw, origins, numbers, known)


def make_told(
    events: Sequence[Any],
    actors: Sequence[Known],
    raw: pa.Array,
    origins: Sequence[int],
    numbers: Sequence[int],
    known: Origins,
) -> Told:
    """Records with the columns that all of them need."""
    processes = [known.process or NO_PROCESS for known in actors]
    parents = [known.parent or NO_PROCESS for known in actors]
    indices = pa.array(origins, pa.int32())
    return Told(
        events,
        actors,
        raw,
        pc.add(indices, pa.scalar(known.first, pa.int32())),
        pa.array(numbers, pa.int32()),
        known.received_at_ns.take(indices),
        ints([process.pid for process in processes]),
        longs([process.start_ticks for process in processes]),
        ints([process.pid for process in parents]),
        longs([process.start_ticks for process in parents]),
    )


def shorten(record: Any, *, text: int = 2048, items: int = 16) -> Any:
    """The same record with its texts and lists cut."""
    return msgspec.convert(_cut(msgspec.to_builtins(record), text, items), type(record))


def _cut(value: Any, text: int, items: int) -> Any:
    if isinstance(value, str):
        return value[:text]
    if isinstance(value, dict):
        return {key[:text]: _cut(inner, text, items) for key, inner in list(value.items())[:64]}
    if isinstance(value, list | tuple):
        return [_cut(inner, text, items) for inner in value[:items]]
    return value


def texts(values: Sequence[str | None]) -> pa.Array:
    """A column of text."""
    return pa.array(values, pa.string())


def longs(values: Sequence[int | None]) -> pa.Array:
    """A column of 64-bit numbers; null for what is beyond them."""
    return _numbers(values, pa.int64(), 63)


def ints(values: Sequence[int | None]) -> pa.Array:
    """A column of 32-bit numbers; null for what is beyond them."""
    return _numbers(values, pa.int32(), 31)


def _numbers(values: Sequence[int | None], kind: pa.DataType, bits: int) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (OverflowError, pa.ArrowInvalid):
        top = 1 << bits
        return pa.array([value if value is not None and -top <= value < top else None for value in values], kind)


def same(value: Any, kind: pa.DataType, count: int) -> pa.Array:
    """A column that says the same in every row."""
    return pa.repeat(pa.scalar(value, kind), count)


def millis(values: Sequence[int | None]) -> pa.Array:
    """Nanoseconds as OCSF's milliseconds."""
    return pc.divide(longs(values), MILLION)


def base_columns(
    told: Told,
    *,
    activity: int | Sequence[int],
    message: Sequence[str | None],
    severity: int | Sequence[int] = 1,
    at_ns: Sequence[int] | None = None,
    code: str = "",
) -> Flat:
    """The columns that records of all classes have. `severity` 1 is OCSF's Informational."""
    count = len(told.events)
    columns: Flat = {
        "origin": told.origins,
        "number": told.numbers,
        "activity_id": same(activity, pa.int32(), count) if isinstance(activity, int) else ints(activity),
        "severity_id": same(severity, pa.int32(), count) if isinstance(severity, int) else ints(severity),
        "message": texts(message),
        "metadata.event_code": same(code or type(told.events[0]).__name__, pa.string(), count),
        "raw_data": told.raw,
        "unmapped.pid": told.pids,
        "unmapped.start_ticks": told.ticks,
    }
    return columns | _times([event.at_ns for event in told.events] if at_ns is None else at_ns, told.received)


def _encoded(events: Sequence[Any]) -> pa.Array:
    """A column of records as JSON, null where that is too long: encoded into one buffer, a line each, and cut there."""
    lines = _encoder.encode_lines(events)
    whole = pa.py_buffer(array("q", (0, len(lines) - 1)))
    each = pc.split_pattern(pa.LargeStringArray.from_buffers(1, whole, pa.py_buffer(lines)), "\n").flatten()
    lengths = pc.binary_length(each)
    if pc.max(lengths).as_py() > MAX_RAW_BYTES:
        each = pc.if_else(pc.less_equal(lengths, MAX_RAW_BYTES), each, pa.scalar(None, pa.large_string()))
    return each.cast(pa.string())


def about(told: Told) -> Flat:
    """Where it was, and how that is known."""
    first = told.events[0]
    pairs = zip(told.events, told.actors, strict=True)
    if hasattr(first, "mnt_ns"):
        mounts = [event.mnt_ns or known.mnt_ns or None for event, known in pairs]
    else:
        mounts = [known.mnt_ns or None for known in told.actors]
    columns: Flat = {"unmapped.mnt_ns": longs(mounts)}
    if hasattr(first, "net_ns"):
        columns["unmapped.net_ns"] = longs([event.net_ns or None for event in told.events])
    if hasattr(first, "attribution"):
        columns["unmapped.attribution"] = texts([event.attribution for event in told.events])
    return columns


def known_columns(path: str, told: Told) -> Flat:
    """The process of each row, as it is known, as the object at `path`."""
    known = told.actors
    return process_columns(
        path,
        told.pids,
        told.ticks,
        name=[each.name for each in known],
        exe=[each.exe for each in known],
        cmd_line=[each.cmd_line for each in known],
    )


def actor_columns(told: Told) -> Flat:
    """Who did it: the process of each row as it is known."""
    known = told.actors
    columns = known_columns("actor.process", told)
    columns["actor.process.user.uid"] = user_ids(known)
    columns["actor.process.parent_process.pid"] = told.parent_pids
    columns["actor.process.parent_process.uid"] = process_uid(told.parent_pids, told.parent_ticks)
    columns["actor.app_name"] = unknown_where_null(told.pids)
    return columns


def user_ids(known: Sequence[Known]) -> pa.Array:
    """The users that processes run as, as text; null where that is not known."""
    return texts([_user(each.uid) for each in known])


@lru_cache(1 << 12)
def _user(uid: int) -> str | None:
    return str(uid) if uid >= 0 else None


def unknown_where_null(column: pa.Array) -> pa.Array:
    """`unknown` in rows where the column is null: OCSF wants an actor to be something."""
    return pc.if_else(pc.is_null(column), "unknown", NOTHING)


def process_columns(
    prefix: str,
    pids: pa.Array,
    ticks: pa.Array,
    *,
    name: Sequence[str | None],
    exe: Sequence[str | None],
    cmd_line: Sequence[str | None],
) -> Flat:
    """An object `process` with its program's file; null altogether where the pid is not known."""
    unknown = pc.is_null(pids)
    if not unknown.true_count:
        columns = {"name": texts(name), "cmd_line": texts(cmd_line)}
        paths = texts(exe)
    else:
        columns = {"name": _unless(unknown, name), "cmd_line": _unless(unknown, cmd_line)}
        paths = _unless(unknown, exe)
    columns |= {"pid": pids, "uid": process_uid(pids, ticks)}
    return {f"{prefix}.{path}": column for path, column in columns.items()} | file_columns(f"{prefix}.file", paths)


def _unless(unknown: pa.Array, values: Sequence[str | None]) -> pa.Array:
    return pc.if_else(unknown, NOTHING, texts(values))


def file_columns(prefix: str, paths: pa.Array, type_ids: pa.Array | None = None) -> Flat:
    """An object `file` of a path: its name is what follows the last slash; null where the path is."""
    paths = pc.if_else(pc.equal(paths, ""), NOTHING, paths)
    names = of_each(paths, lambda values: pc.replace_substring_regex(values, r"(?s)^.*/([^/])", r"\1"))
    regular = pa.scalar(1, pa.int32()) if type_ids is None else type_ids
    return {
        f"{prefix}.path": paths,
        f"{prefix}.name": names,
        f"{prefix}.type_id": pc.if_else(pc.is_valid(paths), regular, pa.scalar(None, pa.int32())),
    }


def of_each(column: pa.Array, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """A column changed value by value, each value once however often it comes."""
    encoded = column.dictionary_encode()
    return change(encoded.dictionary).take(encoded.indices)


def process_uid(pids: pa.Array, ticks: pa.Array) -> pa.Array:
    """A process's name for ever among those of its agent: pid and start."""
    return pc.binary_join_element_wise(pids.cast(pa.string()), ticks.cast(pa.string()), "-")


def addresses(values: Sequence[str]) -> pa.Array:
    """A column of addresses as OCSF takes them; null for what is none."""
    return texts([_address(value) for value in values])


@lru_cache(1 << 14)
def _address(text: str) -> str | None:
    """The text itself where it is an address in the usual form."""
    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return text
    return None


def hostnames(values: pa.Array) -> pa.Array:
    """A column of hostnames as OCSF takes them; null for what is none."""
    return of_each(values, _hostnames)


def _hostnames(values: pa.Array) -> pa.Array:
    short = pc.less_equal(pc.utf8_length(values), 253)
    return pc.if_else(pc.and_(short, pc.match_substring_regex(values, HOSTNAME)), values, NOTHING)


def ports(values: Sequence[int]) -> pa.Array:
    """A column of port numbers; null for what is none."""
    return ints([value if 0 <= value <= 65_535 else None for value in values])


def _times(at_ns: Sequence[int], received: pa.Array) -> Flat:
    at = pc.max_element_wise(longs(at_ns).fill_null(_TOP), 0)
    near = pc.and_(
        pc.greater_equal(at, pc.subtract(received, MAX_EARLIER_NS)),
        pc.less_equal(at, pc.add(received, MAX_LATER_NS)),
    )
    columns: Flat = {
        "time": pc.divide(pc.if_else(near, at, received), MILLION),
        "unmapped.at_ns": at,
    }
    if not pc.all(near).as_py():
        told: Callable[[int], str] = to_rfc3339
        columns["metadata.original_time"] = texts(
            [None if fits else told(value) for fits, value in zip(near.to_pylist(), at.to_pylist(), strict=True)]
        )
    return columns
