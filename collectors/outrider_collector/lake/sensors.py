"""What a sidecar tells of its own sight, as OCSF's class 6002: no class is made for it, this one is about software."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from outrider_collector.lake.columns import Flat, Told, about, base_columns, ints, same, texts

OTHER: Final = 99
SUCCESS: Final = 1
FAILURE: Final = 2
INFORMATIONAL: Final = 1
MEDIUM: Final = 3
HIGH: Final = 4


def map_sight_lost(told: Told) -> Flat:
    """SightLost: a failure, of severity High where somebody tampered, Informational where it stood from the start."""
    events = told.events
    severity = [HIGH if e.tampered else INFORMATIONAL if e.standing else MEDIUM for e in events]
    message = [f"{e.sense}: {e.reason}" + (f" ({e.lost} lost)" if e.lost is not None else "") for e in events]
    return _map(told, message, [FAILURE] * len(events), severity)


def map_watched(told: Told) -> Flat:
    """FilesWatched: a success, or a failure where the container's files cannot be watched."""
    message = [f"files watched by {e.sensor}" if e.sensor else f"files unwatched: {e.reason}" for e in told.events]
    return _map(told, message, [SUCCESS if event.sensor else FAILURE for event in told.events], 1)


def map_container(told: Told) -> Flat:
    """ContainerSeen: a success; only where it is news."""
    message = [f"container {event.name or event.id} of {event.image}" for event in told.events]
    return _map(told, message, [SUCCESS] * len(message), INFORMATIONAL)


def _map(told: Told, message: Sequence[str], status: Sequence[int], severity: int | Sequence[int]) -> Flat:
    count = len(told.events)
    columns = base_columns(told, activity=OTHER, message=message, severity=severity)
    columns["app.name"] = same("Outrider sidecar", pa.string(), count)
    columns["app.vendor_name"] = same("Outrider", pa.string(), count)
    columns["status_id"] = ints(status)
    columns["status_detail"] = texts([getattr(event, "reason", "") or None for event in told.events])
    return columns | about(told)
