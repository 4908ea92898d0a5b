"""Fields of the event itself: Falco's `evt.*` but for the arguments, and our `ecs.*`."""

from collections.abc import Mapping
from itertools import count
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import EVENT_TYPES, FAMILIES, event_type
from outrider_wire.events import FileChanged, SyscallMade
from outrider_wire.timestamps import to_rfc3339

_NUMBERS = count(1)
_EXECUTABLE: Final = 0o111


def type_of(context: Context) -> str:
    return event_type(context.event)


def number(context: Context) -> int:
    """A counter: rules use it only to write `never true` as `evt.num=0`."""
    del context
    return next(_NUMBERS)


def time(context: Context) -> str:
    return to_rfc3339(context.event.at_ns)


def short_time(context: Context) -> str:
    return time(context).partition("T")[2].removesuffix("Z")


def seconds(context: Context) -> int:
    return context.event.at_ns // 1_000_000_000


def rawtime(context: Context) -> int:
    return context.event.at_ns


def raw_result(context: Context) -> int:
    return context.event.result if isinstance(context.event, SyscallMade) else 0


def result(context: Context) -> str:
    return "SUCCESS" if raw_result(context) >= 0 else str(raw_result(context))


def failed(context: Context) -> bool:
    return raw_result(context) < 0


def is_open_write(context: Context) -> bool:
    event = context.event
    return isinstance(event, FileChanged) and event.change in ("created", "written") and type_of(context) == "open"


def is_open_read(context: Context) -> bool:
    return isinstance(context.event, FileChanged) and context.event.change == "opened"


def is_open_create(context: Context) -> bool:
    return isinstance(context.event, FileChanged) and context.event.change == "created" and type_of(context) == "open"


def is_open_exec(context: Context) -> bool:
    event = context.event
    return is_open_create(context) and isinstance(event, FileChanged) and bool(event.file.mode & _EXECUTABLE)


def direction(context: Context) -> str:
    del context
    return "<"


def attribution(context: Context) -> str:
    return context.world.attribution_of(context.event)


def task_arn(context: Context) -> str | None:
    task = context.task
    return task.arn or None if task else None


def task_family(context: Context) -> str | None:
    task = context.task
    return task.family or None if task else None


def cluster(context: Context) -> str | None:
    task = context.task
    return task.cluster or None if task else None


METADATA: Final = "the task metadata endpoint"
CLOCK: Final = "CLOCK_REALTIME"
NO_FAILURES: Final = "failed calls are not told apart: what is seen counts as done"
FEW_READS: Final = "opening to read is told of a short list of files only"
_SUCCEEDED: Final[Mapping[str, str]] = dict.fromkeys(EVENT_TYPES, "SUCCESS")
_ZERO: Final[Mapping[str, int]] = dict.fromkeys(EVENT_TYPES, 0)
_OPEN: Final = frozenset(("open",))

FIELDS = (
    Field(
        "evt.type",
        "str",
        type_of,
        aliases=FAMILIES,
        present=True,
        doc="What happened: a system call's name, one for each family (open for openat), or a word of our own.",
    ),
    Field("evt.num", "int", number, present=True, doc="A number that no other event has.", source="a counter"),
    Field("evt.time", "str", time, doc="When, RFC 3339.", source=CLOCK),
    Field("evt.time.iso8601", "str", time, doc="When, RFC 3339.", source=CLOCK),
    Field("evt.time.s", "int", seconds, doc="When, since the epoch.", unit="s", source=CLOCK),
    Field("evt.shorttime", "str", short_time, doc="The time of the day.", source=CLOCK),
    Field("evt.rawtime", "int", rawtime, doc="When, since the epoch.", unit="ns", source=CLOCK),
    Field("evt.dir", "str", direction, doc="`<`: every event is told of when it has happened."),
    Field("evt.res", "str", result, always=_SUCCEEDED, weaker=NO_FAILURES, doc="SUCCESS, or an error."),
    Field("evt.rawres", "int", raw_result, always=_ZERO, weaker=NO_FAILURES, doc="What the call returned."),
    Field("evt.failed", "bool", failed, weaker=NO_FAILURES, doc="The call failed."),
    Field("evt.is_open_write", "bool", is_open_write, events=_OPEN, doc="A file was created or closed after writing."),
    Field(
        "evt.is_open_read",
        "bool",
        is_open_read,
        events=_OPEN,
        weaker=FEW_READS,
        doc="A file was opened to be read.",
        source="inotify(7)",
    ),
    Field("evt.is_open_create", "bool", is_open_create, events=_OPEN, doc="A file was created."),
    Field(
        "evt.is_open_exec",
        "bool",
        is_open_exec,
        events=_OPEN,
        weaker="the mode is read just after the creation",
        doc="A file was created that may be executed.",
    ),
    Field("evt.attribution", "str", attribution, doc="How the acting process is known: exact, inferred, unknown."),
    Field("ecs.task_arn", "str", task_arn, doc="The task's ARN.", source=METADATA),
    Field("ecs.family", "str", task_family, doc="The task definition's family.", source=METADATA),
    Field("ecs.cluster", "str", cluster, doc="The cluster.", source=METADATA),
)
