"""The classes of the lake: which OCSF 1.3 class a record is of, and the columns that its files have.

A column is named by its path (`actor.process.pid`); the nesting is made when a file is written, by `nesting`.
Every file of a class has all columns of its class, so that no reader has to unite schemas.
"""

from typing import Final

import pyarrow as pa
from msgspec import Struct

OCSF_VERSION: Final = "1.3.0"
"""What Security Lake takes from custom sources at most."""

S: Final = pa.string()
I: Final = pa.int32()  # noqa: E741  (the columns below read like a table)
L: Final = pa.int64()
STRINGS: Final = pa.list_(S)

Columns = dict[str, pa.DataType]


class LakeClass(Struct, frozen=True):
    """One class: its number, its name in OCSF, its source in Security Lake's layout, its view, and its columns."""

    uid: int
    name: str
    source: str
    view: str
    columns: Columns


def under(prefix: str, columns: Columns) -> Columns:
    """The same columns inside an object."""
    return {f"{prefix}.{name}": kind for name, kind in columns.items()}


FILE: Final[Columns] = {"name": S, "path": S, "type_id": I}

MORE_OF_FILE: Final[Columns] = FILE | {"parent_folder": S, "size": L, "modified_time": L}

PROCESS: Final[Columns] = {
    "pid": I,
    "uid": S,
    "name": S,
    "cmd_line": S,
    **under("file", FILE),
    "user.uid": S,
}

ENDPOINT: Final[Columns] = {"ip": S, "port": I, "name": S, "hostname": S}

ACTOR: Final[Columns] = {
    "actor.app_name": S,
    **under("actor.process", PROCESS),
    "actor.process.parent_process.pid": I,
    "actor.process.parent_process.uid": S,
}

CONNECTION: Final[Columns] = {
    **under("src_endpoint", ENDPOINT),
    **under("dst_endpoint", ENDPOINT),
    "connection_info.direction_id": I,
    "connection_info.protocol_name": S,
    "connection_info.protocol_num": I,
}

COMMON: Final[Columns] = {
    "time": L,
    "activity_id": I,
    "category_uid": I,
    "class_uid": I,
    "type_uid": L,
    "severity_id": I,
    "message": S,
    "metadata.version": S,
    "metadata.product.name": S,
    "metadata.product.vendor_name": S,
    "metadata.product.version": S,
    "metadata.profiles": STRINGS,
    "metadata.event_code": S,
    "metadata.uid": S,
    "metadata.logged_time": L,
    "metadata.original_time": S,
    "cloud.provider": S,
    "cloud.region": S,
    "cloud.account.uid": S,
    "device.type_id": I,
    "device.type": S,
    "device.uid": S,
    "device.name": S,
    "device.container.uid": S,
    "device.container.name": S,
    "device.container.image.uid": S,
    "device.container.image.name": S,
    "device.container.orchestrator": S,
    "unmapped.at_ns": L,
    "unmapped.agent": S,
    "unmapped.sequence": L,
    "unmapped.task_arn": S,
    "unmapped.cluster": S,
    "unmapped.family": S,
    "unmapped.revision": S,
    "unmapped.mnt_ns": L,
    "unmapped.net_ns": L,
    "unmapped.attribution": S,
    "unmapped.pid": I,
    "unmapped.start_ticks": L,
    "unmapped.name": S,
    "raw_data": S,
}
"""`unmapped.pid` and `start_ticks` name the process a record is about; `name` a name that OCSF has no place for."""

PROCESS_ACTIVITY: Final = LakeClass(
    1007,
    "process_activity",
    "outrider-process",
    "process",
    COMMON
    | ACTOR
    | under("process", PROCESS)
    | under("process.parent_process", {"pid": I, "uid": S, "name": S, "cmd_line": S, **under("file", FILE)})
    | {"process.lineage": STRINGS, "process.created_time": L, "exit_code": I},
)

FILE_ACTIVITY: Final = LakeClass(
    1001, "file_activity", "outrider-file", "file", COMMON | ACTOR | under("file", MORE_OF_FILE)
)

MODULE_ACTIVITY: Final = LakeClass(
    1005,
    "module_activity",
    "outrider-module",
    "module",
    COMMON | ACTOR | {"module.load_type_id": I, "module.type": S} | under("module.file", MORE_OF_FILE),
)

NETWORK_ACTIVITY: Final = LakeClass(
    4001, "network_activity", "outrider-network", "network", COMMON | ACTOR | CONNECTION
)

DNS_ACTIVITY: Final = LakeClass(
    4003,
    "dns_activity",
    "outrider-dns",
    "dns",
    COMMON
    | ACTOR
    | CONNECTION
    | {
        "query.hostname": S,
        "query.type": S,
        "answers": pa.list_(pa.struct([("rdata", S), ("type", S), ("ttl", I)])),
        "rcode": S,
        "rcode_id": I,
    },
)

DETECTION_FINDING: Final = LakeClass(
    2004,
    "detection_finding",
    "outrider-finding",
    "finding",
    COMMON
    | {
        "severity": S,
        "count": I,
        "finding_info.title": S,
        "finding_info.uid": S,
        "finding_info.desc": S,
        "finding_info.types": STRINGS,
        "finding_info.analytic.name": S,
        "finding_info.analytic.type_id": I,
        "finding_info.attacks": pa.list_(pa.struct([("technique", pa.struct([("uid", S)]))])),
        "evidences": pa.list_(
            pa.struct(
                [
                    ("data", S),
                    (
                        "process",
                        pa.struct(
                            [
                                ("pid", I),
                                ("uid", S),
                                ("name", S),
                                ("cmd_line", S),
                                ("file", pa.struct([("name", S), ("path", S), ("type_id", I)])),
                                ("user", pa.struct([("uid", S)])),
                                ("lineage", STRINGS),
                            ]
                        ),
                    ),
                ]
            )
        ),
        "remediation.desc": S,
        "status_id": I,
    },
)

APPLICATION_LIFECYCLE: Final = LakeClass(
    6002,
    "application_lifecycle",
    "outrider-sensor",
    "sensor",
    COMMON | {"app.name": S, "app.vendor_name": S, "status_id": I, "status_detail": S},
)
"""What a sidecar tells of its own sight: the nearest class there is."""

CLASSES: Final = (
    PROCESS_ACTIVITY,
    FILE_ACTIVITY,
    MODULE_ACTIVITY,
    NETWORK_ACTIVITY,
    DNS_ACTIVITY,
    DETECTION_FINDING,
    APPLICATION_LIFECYCLE,
)

BY_UID: Final = {each.uid: each for each in CLASSES}

PROFILES: Final = ("cloud", "container", "host")
