"""The built-in queries: each is one definition, from which the SQL of every dialect is made.

They keep to what all engines have: fields of structs by a dot, UNION ALL, GROUP BY, LIKE with its own escape.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from outrider_collector.lake.classes import CLASSES, LakeClass
from outrider_collector.lake.dialects import Dialect
from outrider_collector.lake.layout import day_of

ARN: Final = "arn:"


class Filter(Struct, frozen=True, kw_only=True):
    """Which records. Times are in milliseconds since the epoch, `until_ms` not included; empty is any.

    task: an ARN, or the end of one. container: an id or a name. kind: a view or an event's name. text: in the message,
    in this case. newest: the latest first.
    """

    since_ms: int
    until_ms: int
    task: str = ""
    container: str = ""
    pid: int | None = None
    kind: str = ""
    text: str = ""
    agent: str = ""
    limit: int = 1000
    newest: bool = False


Make = Callable[[Dialect, Filter], str]


class Query(Struct, frozen=True):
    """A built-in query: its name, what it answers, and what makes its SQL."""

    name: str
    purpose: str
    make: Make


def classes_of(kind: str) -> list[LakeClass]:
    """The classes a kind may be in: the view's, or all."""
    return [each for each in CLASSES if each.view == kind] or list(CLASSES)


def where(dialect: Dialect, chosen: Filter) -> str:
    """The conditions of a filter, on any view."""
    said = [f"time >= {chosen.since_ms}", f"time < {chosen.until_ms}"]
    if dialect.partitions:
        said.append(f"eventDay BETWEEN '{day_of(chosen.since_ms)}' AND '{day_of(chosen.until_ms - 1)}'")
    if chosen.task.startswith(ARN):
        said.append(f"unmapped.task_arn = {dialect.quote(chosen.task)}")
    elif chosen.task:
        said.append(dialect.ends("unmapped.task_arn", f"/{chosen.task}"))
    if chosen.container:
        name = dialect.quote(chosen.container)
        said.append(f"(device.container.name = {name} OR device.container.uid = {name})")
    if chosen.pid is not None:
        said.append(f"unmapped.pid = {chosen.pid}")
    if chosen.kind and chosen.kind not in {each.view for each in CLASSES}:
        said.append(f"metadata.event_code = {dialect.quote(chosen.kind)}")
    if chosen.agent:
        said.append(f"unmapped.agent = {dialect.quote(chosen.agent)}")
    if chosen.text:
        said.append(dialect.contains("message", chosen.text))
    return " AND ".join(said)


def make_events(dialect: Dialect, chosen: Filter) -> str:
    """Records of all classes, in the order they happened."""
    conditions = where(dialect, chosen)
    parts = [
        "SELECT unmapped.at_ns AS at_ns, metadata.event_code AS event, class_uid, severity_id,"
        " unmapped.task_arn AS task, device.container.name AS container, unmapped.pid AS pid, "
        f"{_program(each)} AS program, message, metadata.uid AS uid FROM {dialect.table(each.view)} WHERE {conditions}"
        for each in classes_of(chosen.kind)
    ]
    order = "at_ns DESC, uid DESC" if chosen.newest else "at_ns, uid"
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS events ORDER BY {order} LIMIT {chosen.limit}"


def make_launches(dialect: Dialect, chosen: Filter) -> str:
    """Launches and ends of processes, with their parents."""
    return (
        "SELECT unmapped.at_ns AS at_ns, metadata.event_code AS event, process.uid AS uid, process.pid AS pid,"
        " process.parent_process.uid AS parent, process.name AS name, process.file.path AS path,"
        f" process.cmd_line AS command, exit_code FROM {dialect.table('process')}"
        f" WHERE {where(dialect, chosen)} AND activity_id IN (1, 2) ORDER BY at_ns, metadata.uid LIMIT {chosen.limit}"
    )


def make_programs(dialect: Dialect, chosen: Filter) -> str:
    """Programs executed, by how often; the rare ones last."""
    return (
        "SELECT process.file.path AS path, COUNT(*) AS times, COUNT(DISTINCT unmapped.task_arn) AS tasks,"
        f" MIN(time) AS first_ms, MAX(time) AS last_ms FROM {dialect.table('process')}"
        f" WHERE {where(dialect, chosen)} AND metadata.event_code = 'ProcessExecuted'"
        f" GROUP BY process.file.path ORDER BY times DESC, path LIMIT {chosen.limit}"
    )


def make_connections(dialect: Dialect, chosen: Filter) -> str:
    """Destinations that tasks connected to, and the programs that did."""
    return (
        "SELECT dst_endpoint.ip AS ip, dst_endpoint.port AS port, actor.process.file.path AS path, COUNT(*) AS times,"
        f" COUNT(DISTINCT unmapped.task_arn) AS tasks FROM {dialect.table('network')}"
        f" WHERE {where(dialect, chosen)} AND metadata.event_code = 'ConnectionOpened'"
        " AND connection_info.direction_id = 2 GROUP BY dst_endpoint.ip, dst_endpoint.port, actor.process.file.path"
        f" ORDER BY times DESC, ip, port, path LIMIT {chosen.limit}"
    )


def make_names(dialect: Dialect, chosen: Filter) -> str:
    """Names asked for, and how many tasks asked: those that few asked for first."""
    return (
        "SELECT unmapped.name AS name, COUNT(*) AS times, COUNT(DISTINCT unmapped.task_arn) AS tasks"
        f" FROM {dialect.table('dns')} WHERE {where(dialect, chosen)} AND activity_id = 1"
        f" GROUP BY unmapped.name ORDER BY tasks, times, name LIMIT {chosen.limit}"
    )


def make_dropped(dialect: Dialect, chosen: Filter) -> str:
    """Programs that were written in a container and then executed there."""
    conditions = where(dialect, chosen)
    return (
        "SELECT ran.task AS task, ran.container AS container, ran.path AS path, written.at_ns AS written_at_ns,"
        " ran.at_ns AS executed_at_ns, ran.command AS command, written.writer AS writer FROM"
        " (SELECT unmapped.task_arn AS task, device.container.name AS container, device.container.uid AS id,"
        " process.file.path AS path, process.cmd_line AS command, unmapped.at_ns AS at_ns"
        f" FROM {dialect.table('process')} WHERE {conditions} AND metadata.event_code = 'ProcessExecuted') AS ran JOIN"
        " (SELECT device.container.uid AS id, file.path AS path, unmapped.at_ns AS at_ns,"
        f" actor.process.cmd_line AS writer FROM {dialect.table('file')}"
        f" WHERE {conditions} AND activity_id IN (1, 3, 5)) AS written"
        " ON ran.id = written.id AND ran.path = written.path AND written.at_ns < ran.at_ns"
        f" ORDER BY executed_at_ns, written_at_ns, path LIMIT {chosen.limit}"
    )


def make_findings(dialect: Dialect, chosen: Filter) -> str:
    """Findings by type and severity."""
    return (
        "SELECT unmapped.name AS type, severity_id, COUNT(*) AS times, COUNT(DISTINCT unmapped.task_arn) AS tasks,"
        f" MAX(time) AS last_ms FROM {dialect.table('finding')} WHERE {where(dialect, chosen)}"
        f" GROUP BY unmapped.name, severity_id ORDER BY severity_id DESC, times DESC, type LIMIT {chosen.limit}"
    )


def make_finding(dialect: Dialect, chosen: Filter, finding: str) -> str:
    """One finding, by its id."""
    return (
        "SELECT unmapped.agent AS agent, unmapped.at_ns AS at_ns, unmapped.task_arn AS task,"
        " unmapped.pid AS pid, unmapped.start_ticks AS start_ticks, unmapped.name AS type, message AS description"
        f" FROM {dialect.table('finding')} WHERE {where(dialect, chosen)}"
        f" AND finding_info.uid = {dialect.quote(finding)} ORDER BY at_ns LIMIT 1"
    )


QUERIES: Final = (
    Query("events", "what happened, in its order", make_events),
    Query("launches", "processes that began and ended", make_launches),
    Query("programs", "programs by how often they were executed", make_programs),
    Query("connections", "destinations, and the programs that connected to them", make_connections),
    Query("names", "names asked for, the rare ones first", make_names),
    Query("dropped", "programs that were written and then executed", make_dropped),
    Query("findings", "findings by type", make_findings),
)

BY_NAME: Final = {each.name: each for each in QUERIES}


def _program(lake_class: LakeClass) -> str:
    """Which program a record of the class is about."""
    if "process.name" in lake_class.columns:
        return "process.name"
    return "actor.process.name" if "actor.process.name" in lake_class.columns else "NULL"
