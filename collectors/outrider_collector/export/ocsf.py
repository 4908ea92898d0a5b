"""A stored finding as a record of OCSF's class 2004, by the lake's own mapping."""

from typing import Any, Final

import msgspec

from outrider_collector.lake.classes import DETECTION_FINDING
from outrider_collector.lake.finishing import OriginColumns, finish
from outrider_collector.lake.mapping import map_rows
from outrider_collector.lake.nesting import nest, prune
from outrider_collector.lake.origins import batch_origin
from outrider_collector.lake.rows import Rows
from outrider_collector.store.stored import State, StoredFinding

UPDATE: Final = 2
CLOSE: Final = 3
_STATUS: Final[dict[State, int]] = {"new": 1, "suppressed": 3, "archived": 4}


def to_ocsf(found: StoredFinding) -> dict[str, Any]:
    """The record. Its uid is the finding's, the same for ever; the first is a create, later ones update or close it."""
    finding = msgspec.structs.replace(found.finding, id=found.id)
    rows = Rows()
    origin = batch_origin(finding.agent, 0, max(found.last_seen_ns, 0), task=finding.task)
    rows.add_findings(origin, [finding])
    ((lake_class, batch),) = map_rows(rows)
    import pyarrow as pa

    flat = finish(lake_class, pa.Table.from_batches([batch]), OriginColumns(rows.origins))
    record: dict[str, Any] = prune(nest(flat).to_pylist()[0])
    assert lake_class is DETECTION_FINDING
    activity = CLOSE if found.state == "archived" else UPDATE if found.count > max(found.finding.count, 1) else 1
    record |= {
        "activity_id": activity,
        "type_uid": DETECTION_FINDING.uid * 100 + activity,
        "status_id": _STATUS[found.state],
        "count": min(found.count, (1 << 31) - 1),
    }
    record["metadata"]["uid"] = f"{found.id}-{found.change}"
    record["finding_info"] |= {
        "first_seen_time": found.first_seen_ns // 1_000_000,
        "last_seen_time": found.last_seen_ns // 1_000_000,
    }
    return record
