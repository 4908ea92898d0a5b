"""The process tree of a finding: who started the process, and whom it started, out of launches in the lake."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from outrider_collector.lake.dialects import DUCKDB
from outrider_collector.lake.layout import DAY_MS, HOUR_MS
from outrider_collector.lake.places import Lake
from outrider_collector.lake.queries import Filter, make_finding, make_launches
from outrider_collector.lake.reading import Reading
from outrider_wire.errors import ConfigError

BEFORE_MS: Final = DAY_MS
AFTER_MS: Final = HOUR_MS
"""How far from a finding its processes are looked for."""

MAX_LAUNCHES: Final = 200_000
MAX_DEPTH: Final = 64


class Process(Struct, kw_only=True):
    """A process of a tree. `marked`: it is the one the finding is about."""

    uid: str
    pid: int | None = None
    started_at_ns: int | None = None
    path: str = ""
    command: str = ""
    ended_at_ns: int | None = None
    exit_code: int | None = None
    parent: str | None = None
    marked: bool = False
    children: list["Process"] = []


def tree_of_finding(lake: Lake, finding: str, since_ms: int, until_ms: int) -> Process:
    """The tree of a finding that lies in this span of time. Raises ConfigError where there is none."""
    everything = Filter(since_ms=since_ms, until_ms=until_ms)
    found = _ask(lake, everything, make_finding(DUCKDB, everything, finding))
    if not found:
        raise ConfigError(f"no finding {finding!r} is in the lake in that time")
    at_ms = found[0]["at_ns"] // 1_000_000
    near = Filter(
        since_ms=max(at_ms - BEFORE_MS, 0),
        until_ms=at_ms + AFTER_MS,
        agent=found[0]["agent"],
        task=found[0]["task"] or "",
        limit=MAX_LAUNCHES,
    )
    launches = _ask(lake, near, make_launches(DUCKDB, near))
    return grow(launches, f"{found[0]['pid']}-{found[0]['start_ticks']}")


def grow(launches: Iterable[Mapping[str, Any]], marked: str) -> Process:
    """The tree that a process is in: its ancestors, one under the other, and all that it started."""
    known: dict[str, Process] = {}
    for launch in launches:
        _note(known, launch)
    target = known.setdefault(marked, Process(uid=marked))
    target.marked = True
    for process in list(known.values()):
        above = known.get(process.parent or "")
        if above is not None and above is not process:
            above.children.append(process)
    _cut(target, MAX_DEPTH, {target.uid})
    return _root(known, target)


def _note(known: dict[str, Process], launch: Mapping[str, Any]) -> None:
    uid = launch["uid"]
    if uid is None:
        return
    process = known.setdefault(uid, Process(uid=uid, pid=launch["pid"]))
    process.parent = process.parent or launch["parent"]
    if launch["event"] == "ProcessExited":
        process.ended_at_ns, process.exit_code = launch["at_ns"], launch["exit_code"]
        return
    process.started_at_ns = process.started_at_ns or launch["at_ns"]
    process.path = launch["path"] or process.path
    process.command = launch["command"] or process.command


def _root(known: Mapping[str, Process], process: Process) -> Process:
    """The highest ancestor, with one child on each step down to the process."""
    seen = {process.uid}
    while (above := known.get(process.parent or "")) is not None and above.uid not in seen and len(seen) < MAX_DEPTH:
        seen.add(above.uid)
        above.children = [process]
        process = above
    return process


def _cut(process: Process, depth: int, seen: set[str]) -> None:
    """Take no child twice, and none too deep: launches are what an agent said, which need not make a tree."""
    process.children = [child for child in process.children if child.uid not in seen] if depth else []
    seen.update(child.uid for child in process.children)
    for child in process.children:
        _cut(child, depth - 1, seen)


def _ask(lake: Lake, chosen: Filter, sql: str) -> list[dict[str, Any]]:
    reading = Reading(lake, chosen.since_ms, chosen.until_ms)
    try:
        return reading.ask(sql).records()
    finally:
        reading.close()
