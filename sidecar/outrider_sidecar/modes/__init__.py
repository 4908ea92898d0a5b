"""Modes: what differs between guarding a task and guarding a host, each a list of parts that `app` puts together."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from outrider_rules import RuleSet
from outrider_sidecar.recorder import Recorder
from outrider_sidecar.selecting import Selecting
from outrider_sidecar.selection import Selection
from outrider_sidecar.sensors import Capability, Sensor
from outrider_sidecar.sensors.attach import TracerOptions
from outrider_sidecar.sensors.files import FileSensor
from outrider_sidecar.settings import Settings
from outrider_sidecar.supervisor import Sight
from outrider_sidecar.world.containers import Container
from outrider_sidecar.world.tree import Process

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard, MakeFileWatch

Chore = Callable[["Guard"], None]


class Ground(Struct, frozen=True):
    """What every mode's parts are made of."""

    settings: Settings
    own_mnt_ns: int
    rules: RuleSet
    recorder: Recorder | None


class Within(Struct, frozen=True, kw_only=True):
    """What a mode brings to the engine's process, made there.

    `guest_ns` is the mount namespace that is left alone, 0 for none; `host_net_ns` the network namespace of a host.
    `begin` is called once, before the engine takes its first event; `on_program` with each program that is started.
    """

    guest_ns: int
    host_net_ns: int = 0
    sensors: tuple[Sensor, ...] = ()
    chores: tuple[Chore, ...] = ()
    files: "MakeFileWatch" = FileSensor
    begin: Chore = lambda _: None
    on_program: Callable[["Guard", Container, Process], None] = lambda _guard, _container, _process: None
    status: Callable[["Guard"], dict[str, Any]] = lambda _: {}
    """What is to be told besides, for health."""


class Parts(Struct, frozen=True, kw_only=True):
    """What a mode brings. `tracer` or `lookout` tells of processes, where either can be had; `gate` decides which
    programs may start; `enter` is called in the engine's process, after the fork.
    """

    tracer: TracerOptions | None = None
    lookout: Sight | None = None
    gate: Sight | None = None
    enter: Callable[[], Within]
    stop_after_s: float = 0.0

    @property
    def sees_processes(self) -> bool:
        """Whether a process of its own tells of processes, whose first look around is to be waited for."""
        return self.tracer is not None or self.lookout is not None


Name = Literal["task", "host"]


def is_available(capabilities: tuple[Capability, ...], sensor: str) -> bool:
    """Whether a sensor was found to work."""
    return any(c.sensor == sensor and c.available for c in capabilities)


def make_selecting(selection: Selection) -> Selecting:
    """What applies a selection; tags are asked of AWS only where a selector names one."""
    if not selection.tag_keys:
        return Selecting(selection)
    from outrider_sidecar.aws.places import reach_ecs

    return Selecting(selection, reach=reach_ecs())
