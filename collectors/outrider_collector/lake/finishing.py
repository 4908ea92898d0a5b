"""Finishing: the columns that follow from a record's class and origin, added when its file is written.

Until then a record carries the number of its origin: a task's ARN is not kept a million times in memory.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from outrider_collector.lake.classes import OCSF_VERSION, PROFILES, LakeClass
from outrider_collector.lake.columns import NOTHING, Flat, longs, same, texts
from outrider_collector.lake.origins import Origin

OTHER_DEVICE: Final = 99

CARRIED: Final = {"origin": pa.int32(), "number": pa.int32()}
"""Columns of unfinished rows that are not of the class: their origin, and their number in their batch."""

_TEXTS: Final = ("agent", "software", "task_arn", "cluster", "family", "revision", "container_id", "container_name",
                 "image")  # fmt: skip

FINISHED: Final = frozenset(
    (
        "category_uid",
        "class_uid",
        "type_uid",
        "metadata.version",
        "metadata.product.name",
        "metadata.product.vendor_name",
        "metadata.product.version",
        "metadata.profiles",
        "metadata.uid",
        "metadata.logged_time",
        "cloud.provider",
        "cloud.region",
        "cloud.account.uid",
        "device.type_id",
        "device.type",
        "device.uid",
        "device.name",
        "device.container.uid",
        "device.container.name",
        "device.container.image.uid",
        "device.container.image.name",
        "device.container.orchestrator",
        "unmapped.agent",
        "unmapped.sequence",
        "unmapped.task_arn",
        "unmapped.cluster",
        "unmapped.family",
        "unmapped.revision",
    )
)
"""The columns that are added here."""


def unfinished_schema(lake_class: LakeClass) -> pa.Schema:
    """The columns of a class's rows before they are finished."""
    said = {path: kind for path, kind in lake_class.columns.items() if path not in FINISHED}
    return pa.schema(list((CARRIED | said).items()))


def fill(lake_class: LakeClass, columns: Flat) -> pa.RecordBatch:
    """All columns that a class's unfinished rows have, in their order; null where there is nothing to say."""
    schema, count = unfinished_schema(lake_class), len(columns["time"])
    arrays = [columns[field.name] if field.name in columns else pa.nulls(count, field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class OriginColumns:
    """The columns of origins: made once, taken from by number."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        places = [origin.place for origin in origins]
        self.columns: Flat = {name: texts([getattr(origin, name) for origin in origins]) for name in _TEXTS}
        self.columns["region"] = texts([region for region, _ in places])
        self.columns["account"] = texts([account for _, account in places])
        self.columns["sequence"] = longs([origin.sequence for origin in origins])
        self.columns["received_ms"] = longs([origin.received_at_ns // 1_000_000 for origin in origins])
        self.columns["prefix"] = texts([f"{origin.agent}-{origin.named or origin.sequence}" for origin in origins])

    def take(self, indices: pa.Array) -> Flat:
        """The columns of the origins with these numbers."""
        return {name: column.take(indices) for name, column in self.columns.items()}


def finish(lake_class: LakeClass, rows: pa.Table, origins: OriginColumns) -> Flat:
    """All columns of the class, in their order."""
    rows = rows.combine_chunks()
    said: Flat = {name: _whole(rows.column(name)) for name in rows.column_names}
    known = origins.take(said["origin"])
    said |= _constants(lake_class, len(rows)) | _device(known)
    said |= {
        "type_uid": pc.add(said["activity_id"].cast(pa.int64()), lake_class.uid * 100),
        "metadata.product.version": known["software"],
        "metadata.uid": pc.binary_join_element_wise(
            known["prefix"], said["metadata.event_code"], said["number"].cast(pa.string()), "-"
        ),
        "metadata.logged_time": known["received_ms"],
        "cloud.region": known["region"],
        "cloud.account.uid": known["account"],
        "unmapped.agent": known["agent"],
        "unmapped.sequence": known["sequence"],
        "unmapped.task_arn": known["task_arn"],
        "unmapped.cluster": known["cluster"],
        "unmapped.family": known["family"],
        "unmapped.revision": known["revision"],
    }
    return {path: said[path] for path in lake_class.columns}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _constants(lake_class: LakeClass, count: int) -> Flat:
    """What is the same in all records of a class."""
    said: dict[str, Any] = {
        "category_uid": lake_class.uid // 1000,
        "class_uid": lake_class.uid,
        "metadata.version": OCSF_VERSION,
        "metadata.product.name": "Outrider",
        "metadata.product.vendor_name": "Outrider",
        "metadata.profiles": list(PROFILES),
        "cloud.provider": "AWS",
        "device.type_id": OTHER_DEVICE,
        "device.type": "ECS task",
    }
    return {path: same(value, lake_class.columns[path], count) for path, value in said.items()}


def _device(known: Flat) -> Flat:
    """The task as the device, and its container in it where that is known."""
    named = pc.or_(pc.is_valid(known["container_id"]), pc.is_valid(known["container_name"]))
    image = pc.if_else(named, known["image"], NOTHING)
    return {
        "device.uid": pc.coalesce(known["task_arn"], known["agent"]),
        "device.name": known["family"],
        "device.container.uid": known["container_id"],
        "device.container.name": known["container_name"],
        "device.container.image.uid": image,
        "device.container.image.name": image,
        "device.container.orchestrator": pc.if_else(named, "ECS", NOTHING),
    }
