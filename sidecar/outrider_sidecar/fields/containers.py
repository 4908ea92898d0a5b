"""Fields of the container: Falco's `container.*`; `k8s.*`, which ECS has nothing for."""

import fnmatch
from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.decode.mountinfo import Mount
from outrider_sidecar.decode.status import PRIVILEGED
from outrider_sidecar.fields.context import Context
from outrider_sidecar.fields.event import METADATA

NOT_MOUNTED: Final = "N/A"
"""What Falco says of a mount that is not there, and what its rules compare with."""


def ident(context: Context) -> str:
    """Twelve digits are what Falco shows; ECS's own ids are shown whole, for they are how a task's are told apart."""
    return context.container.view.id if context.container else "host"


def full_ident(context: Context) -> str:
    return ident(context)


def name(context: Context) -> str | None:
    return context.container.name or None if context.container else None


def image(context: Context) -> str | None:
    return context.container.image or None if context.container else None


def _without_digest(context: Context) -> str | None:
    whole = image(context)
    return whole.partition("@")[0] if whole is not None else None


def repository(context: Context) -> str | None:
    whole = _without_digest(context)
    if whole is None:
        return None
    head, slash, last = whole.rpartition("/")
    return head + slash + last.partition(":")[0]


def tag(context: Context) -> str | None:
    whole = _without_digest(context)
    return whole.rpartition("/")[2].partition(":")[2] or None if whole is not None else None


def digest(context: Context) -> str | None:
    whole = image(context)
    return whole.partition("@")[2] or None if whole is not None else None


def kind(context: Context) -> str:
    return "host" if ident(context) == "host" else "ecs"


def start_ns(context: Context) -> int | None:
    container = context.container
    return (container.created_at_ns or container.drift.baseline_ns or None) if container else None


def duration_ns(context: Context) -> int | None:
    began_ns = start_ns(context)
    return max(context.event.at_ns - began_ns, 0) if began_ns is not None else None


def privileged(context: Context) -> bool | None:
    """Told by what its oldest process could ever do: `--privileged` gives what no container has unasked."""
    bounding = context.world.late.bounding(context.container.mnt_ns) if context.container else None
    return bounding & PRIVILEGED == PRIVILEGED if bounding is not None else None


def _binds(context: Context) -> list[Mount]:
    container = context.container
    found = context.world.late.mounts(container.mnt_ns) if container is not None else None
    return [mount for mount in found or () if mount.is_bind]


def mounts(context: Context) -> str | None:
    binds = _binds(context)
    return ",".join([f"{m.source}:{m.destination}::{m.options}" for m in binds]) or None


def _mount(context: Context, index: str) -> Mount | None:
    """By number, or by a source that may hold wildcards."""
    binds = _binds(context)
    if index.isascii() and index.isdigit() and len(index) < 5:
        return binds[int(index)] if int(index) < len(binds) else None
    return next((mount for mount in binds if fnmatch.fnmatchcase(mount.source, index)), None)


def mount_destination(context: Context, index: str) -> str:
    mount = _mount(context, index)
    return mount.destination if mount else NOT_MOUNTED


def mount_source(context: Context, index: str) -> str:
    mount = _mount(context, index)
    return mount.source if mount else NOT_MOUNTED


def mount_mode(context: Context, index: str) -> str:
    mount = _mount(context, index)
    return mount.options if mount else NOT_MOUNTED


def mount_writable(context: Context, index: str) -> str:
    mount = _mount(context, index)
    return str("rw" in mount.options.split(",")).lower() if mount else NOT_MOUNTED


def nothing(context: Context) -> None:
    del context


MOUNTINFO: Final = "/proc/PID/mountinfo"
BY_MOUNTINFO: Final = "sources are paths within their own file system, as /proc/PID/mountinfo tells them"
NO_K8S: Final = "there is no Kubernetes on ECS: use ecs.family and container.name"
_K8S: Final = ("k8s.ns.name", "k8s.pod.name", "k8s.pod.id", "k8s.pod.uid")

FIELDS = (
    Field(
        "container.id",
        "str",
        ident,
        present=True,
        doc="The container's id; `host` outside any.",
        source="/proc/PID/cgroup",
    ),
    Field("container.full_id", "str", full_ident, doc="The same.", source="/proc/PID/cgroup"),
    Field("container.name", "str", name, doc="Its name in the task definition.", source=METADATA),
    Field("container.image", "str", image, doc="Its image as the task definition names it.", source=METADATA),
    Field("container.image.repository", "str", repository, doc="Its image without tag.", source=METADATA),
    Field("container.image.tag", "str", tag, doc="Its image's tag.", source=METADATA),
    Field("container.image.digest", "str", digest, doc="Its image's digest, if it is named by one.", source=METADATA),
    Field("container.type", "str", kind, doc="`ecs`, or `host` outside any container."),
    Field("container.start_ts", "int", start_ns, doc="When it was created.", unit="ns", source=METADATA),
    Field("container.duration", "int", duration_ns, doc="How long ago that was.", unit="ns", source=METADATA),
    Field(
        "container.privileged",
        "bool",
        privileged,
        weaker="told by the capabilities of the container's oldest process",
        doc="It has every capability.",
        source="/proc/PID/status",
    ),
    Field("container.mounts", "str", mounts, weaker=BY_MOUNTINFO, doc="Its bind mounts.", source=MOUNTINFO),
    Field(
        "container.mount.dest",
        "str",
        mount_destination,
        indexed=True,
        index="key",
        weaker=BY_MOUNTINFO,
        doc="Where a source, or the n-th bind mount, is mounted; N/A where it is not.",
        source=MOUNTINFO,
    ),
    *(
        Field(f"container.mount.{word}", "str", get, indexed=True, index="key", weaker=BY_MOUNTINFO, doc=doc)
        for word, get, doc in (
            ("source", mount_source, "The source of a bind mount."),
            ("mode", mount_mode, "Its options."),
            ("rdwr", mount_writable, "Whether it may be written to: true or false."),
        )
    ),
    *(Field(word, "str", nothing, lacking=NO_K8S, doc="Nothing: ECS has no such thing.") for word in _K8S),
)
