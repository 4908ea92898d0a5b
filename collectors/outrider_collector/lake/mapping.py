"""The mapping: which class each kind of event is of, and the function that makes its columns. One list to read."""

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from outrider_collector.lake import files, network, processes, sensors
from outrider_collector.lake.classes import (
    APPLICATION_LIFECYCLE,
    DETECTION_FINDING,
    DNS_ACTIVITY,
    FILE_ACTIVITY,
    MODULE_ACTIVITY,
    NETWORK_ACTIVITY,
    PROCESS_ACTIVITY,
    LakeClass,
)
from outrider_collector.lake.columns import Flat, Origins, Told, longs, take_apart
from outrider_collector.lake.findings import map_findings, take_findings_apart
from outrider_collector.lake.finishing import fill
from outrider_collector.lake.rows import Rows
from outrider_wire import events

Map = Callable[[Told], Flat]
"""Makes the columns of rows of one kind."""

MAPPING: Final[dict[type, tuple[LakeClass, Map]]] = {
    events.ProcessStarted: (PROCESS_ACTIVITY, processes.map_started),
    events.ProcessExecuted: (PROCESS_ACTIVITY, processes.map_executed),
    events.ProcessExited: (PROCESS_ACTIVITY, processes.map_exited),
    events.ProcessReleased: (PROCESS_ACTIVITY, processes.map_released),
    events.StdioTied: (PROCESS_ACTIVITY, processes.map_tied),
    events.SyscallMade: (PROCESS_ACTIVITY, processes.map_syscall),
    events.FileChanged: (FILE_ACTIVITY, files.map_changed),
    events.FileHashed: (FILE_ACTIVITY, files.map_hashed),
    events.LibraryLoaded: (MODULE_ACTIVITY, files.map_loaded),
    events.ConnectionOpened: (NETWORK_ACTIVITY, network.map_connection),
    events.ServerNamed: (NETWORK_ACTIVITY, network.map_server_name),
    events.NameQueried: (DNS_ACTIVITY, network.map_query),
    events.NameResolved: (DNS_ACTIVITY, network.map_response),
    events.SightLost: (APPLICATION_LIFECYCLE, sensors.map_sight_lost),
    events.FilesWatched: (APPLICATION_LIFECYCLE, sensors.map_watched),
    events.ContainerSeen: (APPLICATION_LIFECYCLE, sensors.map_container),
}


def map_rows(rows: Rows) -> list[tuple[LakeClass, pa.RecordBatch]]:
    """Unfinished columns of all rows, one batch for each kind that there is."""
    known = Origins(longs([origin.received_at_ns for origin in rows.origins]), rows.first_origin)
    batches = []
    for kind, told_rows in rows.by_kind.items():
        lake_class, make = MAPPING[kind]
        batches.append((lake_class, fill(lake_class, make(take_apart(told_rows, known)))))
    if rows.findings:
        found = map_findings(take_findings_apart(rows.findings, known))
        batches.append((DETECTION_FINDING, fill(DETECTION_FINDING, found)))
    return batches
