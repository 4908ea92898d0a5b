"""Amazon EventBridge, by PutEvents: an event a finding, whose detail has GuardDuty's shape.

Limits: 10 entries in a request, under 1 MB in all and, here, under 256 KB each, which is what most rules' targets take.
An entry's size is what EventBridge counts: 14 bytes of time, and the UTF-8 of source, type, detail and resources.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from outrider_collector.export.aws import make_client, may_succeed_later, translated
from outrider_collector.export.configuration import EventBridge
from outrider_collector.export.guardduty import to_guardduty
from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import DeliveryError

MAX_ITEMS: Final = 10
MAX_REQUEST_BYTES: Final = 1_000_000
MAX_ENTRY_BYTES: Final = 256_000
_TIME_BYTES: Final = 14

Entry = dict[str, Any]


class EventBridgeTarget:
    """One event bus."""

    max_items = MAX_ITEMS

    def __init__(self, export: EventBridge) -> None:
        self._export = export
        self._client: Any = None

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        if self._client is None:
            self._client = make_client("events", region=self._export.region, endpoint=self._export.endpoint)
        entries = pack([to_entry(each, self._export) for each in found])
        with translated():
            answer = self._client.put_events(Entries=entries)
        return read_answer(entries, answer)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def to_entry(found: StoredFinding, export: EventBridge) -> Entry:
    """The entry of a finding."""
    detail = to_guardduty(found)
    told = msgspec.json.encode(detail)
    if len(told) > MAX_ENTRY_BYTES - 4096:
        detail["service"]["additionalInfo"] = {"type": "outrider", "value": '{"cut":true}'}
        told = msgspec.json.encode(detail)
    cluster = detail["resource"].get("ecsClusterDetails", {})
    arns = [cluster.get("taskDetails", {}).get("arn"), cluster.get("arn")]
    return {
        "Time": datetime.fromtimestamp(min(found.last_seen_ns // 1_000_000_000, 253_402_300_799), UTC),
        "Source": export.source,
        "DetailType": export.detail_type,
        "Detail": told.decode(),
        "EventBusName": export.bus,
        "Resources": [arn for arn in arns if arn],
    }


def entry_bytes(entry: Entry) -> int:
    """An entry's size as EventBridge counts it."""
    texts = (entry["Source"], entry["DetailType"], entry["Detail"], *entry["Resources"])
    return _TIME_BYTES + sum(len(text.encode()) for text in texts)


def pack(entries: Sequence[Entry]) -> list[Entry]:
    """The first of them, as many as one request takes; at least one."""
    taken: list[Entry] = []
    total = 0
    for each in entries[:MAX_ITEMS]:
        total += entry_bytes(each)
        if taken and total >= MAX_REQUEST_BYTES:
            break
        taken.append(each)
    return taken


def read_answer(entries: Sequence[Entry], answer: dict[str, Any]) -> list[Outcome]:
    """What became of each, in order. Raises DeliveryError where the answer does not say."""
    told = answer.get("Entries") or []
    if len(told) != len(entries) or any(not (each.get("EventId") or each.get("ErrorCode")) for each in told):
        raise DeliveryError("the answer does not say what became of each entry")  # such as a page of some proxy
    return [_outcome(each) for each in told]


def _outcome(told: dict[str, Any]) -> Outcome:
    code = told.get("ErrorCode")
    if not code:
        return SENT
    reason = f"{code}: {told.get('ErrorMessage', '')}"[:500]
    return Outcome("later" if may_succeed_later(code) else "refused", reason)
