"""Sensors: each turns one kernel interface into events. A sensor knows no rule.

A sensor is any object with the shape of `Sensor`. `probe` finds out, by doing it, whether the sensor can see
here; `run` blocks until `stop` is set and hands each event to `emit`, which never blocks.
"""

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from msgspec import Struct

from outrider_sidecar.sight import Sight
from outrider_wire.events import Event

Emit = Callable[[Event], None]


class Capability(Struct, frozen=True):
    """What one sensor can do here: `sense` is the kind of sight, `reason` says what was tried and what came of it."""

    sense: str
    sensor: str
    available: bool
    reason: str
    remedy: str = ""


class Sensor(Protocol):
    """The shape every sensor in a thread of the engine has."""

    name: str

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Block until `stop`, turning kernel records into events."""


@runtime_checkable
class Follower(Sensor, Protocol):
    """A sensor that finds out by itself which containers there are, and is told when one has come."""

    looked: bool
    """Whether it has looked around once."""

    def look_again(self) -> None:
        """Look around now; called in the engine's thread."""


class FileWatch(Sensor, Protocol):
    """The shape of what watches the files of containers: see `FileSensor`, which says what each of these means."""

    def add_root(
        self, mnt_ns: int, anchor_pid: int, extra_places: tuple[str, ...] = (), *, baseline_ns: int = 0
    ) -> None: ...

    def remove_root(self, mnt_ns: int) -> None: ...

    def sight(self, mnt_ns: int, directory: str) -> Sight | None: ...

    def caught_up(self) -> bool: ...

    def settled(self) -> bool: ...

    def important_done(self) -> bool: ...

    def learn(self, event: Event) -> None:
        """Take in an event of the engine's that tells what is watched elsewhere; called in the engine's thread."""

    @property
    def directories(self) -> int: ...

    @property
    def left(self) -> int: ...
