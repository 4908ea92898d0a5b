"""Processes as OCSF's class 1007: launch and terminate, and what a process did that has no class of its own."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from outrider_collector.lake.columns import (
    Flat,
    Told,
    about,
    actor_columns,
    base_columns,
    ints,
    known_columns,
    millis,
    process_columns,
    texts,
    unknown_where_null,
    user_ids,
)

LAUNCH: Final = 1
TERMINATE: Final = 2
OTHER: Final = 99


def map_started(told: Told) -> Flat:
    """ProcessStarted: a launch, by the parent, of the parent's own program."""
    message = [f"started, {event.seen}" for event in told.events]
    return _base(told, LAUNCH, message) | _itself(told) | _launcher(told)


def map_executed(told: Told) -> Flat:
    """ProcessExecuted: a launch of the program executed, by the parent."""
    command = [" ".join(event.argv) for event in told.events]
    columns = _base(told, LAUNCH, command) | _itself(told) | _launcher(told)
    columns["process.cmd_line"] = texts(command)
    columns["unmapped.name"] = texts([event.script.path if event.script else None for event in told.events])
    return columns


def map_exited(told: Told) -> Flat:
    """ProcessExited: a termination; `exit_code` is the status's, or 128 and the signal."""
    codes = [_exit_code(event.status) for event in told.events]
    message = ["exited" if code is None else f"exited with {code}" for code in codes]
    columns = _base(told, TERMINATE, message) | _itself(told) | actor_columns(told)
    columns["exit_code"] = ints(codes)
    return columns


def map_released(told: Told) -> Flat:
    """ProcessReleased: other; the tracer let it go."""
    return _other(told, [f"released: {event.reason}" for event in told.events])


def map_tied(told: Told) -> Flat:
    """StdioTied: other; the nearest class is that of the shell whose streams they are."""
    message = [f"stdio tied, {event.tie}, to {event.remote}:{event.remote_port}" for event in told.events]
    return _other(told, message)


def map_syscall(told: Told) -> Flat:
    """SyscallMade: other, whatever the call; its name is `unmapped.name`."""
    message = [
        f"{event.name}({', '.join(map('='.join, event.arguments.items()))}) = {event.result}" for event in told.events
    ]
    columns = _other(told, message)
    columns["unmapped.name"] = texts([event.name for event in told.events])
    return columns


def _exit_code(status: int | None) -> int | None:
    if status is None:
        return None
    return status >> 8 & 0xFF if not status & 0x7F else 128 + (status & 0x7F)


def _base(told: Told, activity: int, message: Sequence[str]) -> Flat:
    return base_columns(told, activity=activity, message=message) | about(told)


def _other(told: Told, message: Sequence[str]) -> Flat:
    return _base(told, OTHER, message) | _itself(told) | actor_columns(told)


def _itself(told: Told) -> Flat:
    """The object `process`, with its parent in it."""
    known = told.actors
    columns = known_columns("process", told)
    columns["process.uid"] = columns["process.uid"].fill_null("unknown")  # a pid that is none: OCSF wants one of both
    columns["process.user.uid"] = user_ids(known)
    columns["process.created_time"] = millis([each.started_at_ns for each in known])
    columns["process.lineage"] = pa.array([each.lineage or None for each in known], pa.list_(pa.string()))
    return columns | _parent("process.parent_process", told)


def _launcher(told: Told) -> Flat:
    return _parent("actor.process", told) | {"actor.app_name": unknown_where_null(told.parent_pids)}


def _parent(prefix: str, told: Told) -> Flat:
    known = told.actors
    return process_columns(
        prefix,
        told.parent_pids,
        told.parent_ticks,
        name=[each.parent_name for each in known],
        exe=[each.parent_exe for each in known],
        cmd_line=[each.parent_cmd_line for each in known],
    )
