"""The formats that a finding can be told in as one JSON object; which there are is one list to read."""

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import msgspec

from outrider_collector.export.asff import to_asff
from outrider_collector.export.guardduty import NO_ACCOUNT, NO_REGION, to_guardduty
from outrider_collector.export.places import site_of
from outrider_collector.export.texts import shown
from outrider_collector.store.stored import StoredFinding
from outrider_wire.falco import to_alert
from outrider_wire.timestamps import to_rfc3339

Encode = Callable[[StoredFinding], bytes]


def outrider_json(found: StoredFinding) -> bytes:
    """What the store knows of it, and what was told last; `change` tells newer from older."""
    told = {
        "id": found.id,
        "change": found.change,
        "state": found.state,
        "count": found.count,
        "first_seen": to_rfc3339(found.first_seen_ns),
        "last_seen": to_rfc3339(found.last_seen_ns),
        "assignee": found.assignee,
        "account": found.account,
        "region": found.region,
        "cluster": found.cluster,
        "finding": found.finding,
    }
    return msgspec.json.encode(told)


def falco_json(found: StoredFinding) -> bytes:
    """Falco's alert, under the id that is the same for ever; the host is the task."""
    site = site_of(found)
    hostname = site.task_arn.rpartition("/")[2] or shown(found.finding.agent, 64) or "unknown"
    finding = msgspec.structs.replace(found.finding, id=found.id, at=to_rfc3339(found.last_seen_ns))
    alert = to_alert(finding, hostname=hostname)
    more = {
        "outrider.count": found.count,
        "outrider.first_seen": to_rfc3339(found.first_seen_ns),
        "outrider.last_seen": to_rfc3339(found.last_seen_ns),
    }
    return msgspec.json.encode(msgspec.structs.replace(alert, output_fields=alert.output_fields | more))


def guardduty_json(found: StoredFinding) -> bytes:
    """GuardDuty's shape."""
    return msgspec.json.encode(to_guardduty(found))


def asff_json(found: StoredFinding) -> bytes:
    """ASFF, as of the task's own account."""
    site = site_of(found)
    account, region = site.account or NO_ACCOUNT, site.region or NO_REGION
    told = to_asff(found, account=account, region=region, partition=site.partition, now_ns=found.last_seen_ns)
    return msgspec.json.encode(told)


def ocsf_json(found: StoredFinding) -> bytes:
    """OCSF's class 2004, as in the lake."""
    return msgspec.json.encode(_ocsf()(found))


@cache
def _ocsf() -> Callable[[StoredFinding], dict[str, Any]]:
    from outrider_collector.export.ocsf import to_ocsf  # pyarrow behind it takes a while

    return to_ocsf


FORMATS: Final[dict[str, Encode]] = {
    "outrider": outrider_json,
    "falco": falco_json,
    "guardduty": guardduty_json,
    "asff": asff_json,
    "ocsf": ocsf_json,
}
