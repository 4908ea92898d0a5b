"""Telling of standing limits that the containers gave rise to: once in the log, and as events."""

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from outrider_sidecar.log import say

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard


def tell_notices(guard: "Guard") -> None:
    """Say who is left alone by the settings, and who had to be forgotten; called in the engine's thread."""
    for notice in guard.containers.take_notices():
        say(notice.reason, sense=notice.sense)
        guard.intake.put(replace(notice, at_ns=time.time_ns()))
