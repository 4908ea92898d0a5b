"""Sensors: each turns one kernel interface into events. A sensor knows no rule.

A sensor is any object with the shape of `Sensor`. `probe` finds out, by doing it, whether the sensor can see
here; `run` blocks until `stop` is set and hands each event to `emit`, which never blocks.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

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
