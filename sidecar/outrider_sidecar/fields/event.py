"""Fields of the event itself and of its container and task: Falco's `evt.*` and `container.*`, our `ecs.*`."""

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import event_type
from outrider_wire.events import FileChanged
from outrider_wire.timestamps import to_rfc3339


def type_of(context: Context) -> str:
    return event_type(context.event)


def time(context: Context) -> str:
    return to_rfc3339(context.event.at_ns)


def rawtime(context: Context) -> int:
    return context.event.at_ns


def is_open_write(context: Context) -> bool:
    return isinstance(context.event, FileChanged) and context.event.change in ("created", "written")


def attribution(context: Context) -> str:
    return context.world.attribution_of(context.event)


def container_id(context: Context) -> str:
    return context.container.view.id if context.container else "host"


def container_name(context: Context) -> str | None:
    return context.container.name or None if context.container else None


def container_image(context: Context) -> str | None:
    return context.container.image or None if context.container else None


def image_repository(context: Context) -> str | None:
    image = container_image(context)
    if image is None:
        return None
    head, slash, last = image.partition("@")[0].rpartition("/")
    return head + slash + last.partition(":")[0]


def task_arn(context: Context) -> str | None:
    task = context.world.containers.task
    return task.arn if task else None


def task_family(context: Context) -> str | None:
    task = context.world.containers.task
    return task.family if task else None


def cluster(context: Context) -> str | None:
    task = context.world.containers.task
    return task.cluster if task else None


METADATA = "the task metadata endpoint"

FIELDS = (
    Field("evt.type", "str", type_of, doc="What happened: a system call's name, or one of our own words."),
    Field("evt.time", "str", time, doc="When, RFC 3339.", source="CLOCK_REALTIME"),
    Field("evt.rawtime", "int", rawtime, doc="When, since the epoch.", unit="ns", source="CLOCK_REALTIME"),
    Field("evt.is_open_write", "bool", is_open_write, doc="A file was created or closed after writing."),
    Field("evt.attribution", "str", attribution, doc="How the acting process is known: exact, inferred, unknown."),
    Field(
        "container.id", "str", container_id, doc="The container's id; `host` outside any.", source="/proc/PID/cgroup"
    ),
    Field("container.name", "str", container_name, doc="Its name in the task definition.", source=METADATA),
    Field("container.image", "str", container_image, doc="Its image as the task definition names it.", source=METADATA),
    Field("container.image.repository", "str", image_repository, doc="Its image without tag.", source=METADATA),
    Field("ecs.task_arn", "str", task_arn, doc="The task's ARN.", source=METADATA),
    Field("ecs.family", "str", task_family, doc="The task definition's family.", source=METADATA),
    Field("ecs.cluster", "str", cluster, doc="The cluster.", source=METADATA),
)
