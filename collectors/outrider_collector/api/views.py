"""What readers are shown: times as text, no keys and no digests."""

from msgspec import Struct

from outrider_collector.store.stored import Occurrence, State, StoredFinding
from outrider_wire.findings import Finding, Severity
from outrider_wire.timestamps import to_rfc3339


class FindingView(Struct, frozen=True, kw_only=True):
    """One finding, repeats folded into it. `latest` is what the latest of them said; `change` grows with each change.

    Times are RFC 3339, empty where there is none. `suppressed_by` is the number of a suppression rule, or 0.
    """

    id: str
    type: str
    severity: Severity
    title: str
    state: State
    count: int
    first_seen: str
    last_seen: str
    assignee: str
    archived_at: str
    suppressed_by: int
    account: str
    region: str
    cluster: str
    change: int
    latest: Finding


class OccurrenceView(Struct, frozen=True, kw_only=True):
    """One time that a finding was told."""

    at: str
    received_at: str
    agent: str
    task: str
    finding: Finding


def shown_time(at_ns: int) -> str:
    """RFC 3339, or empty for never."""
    return to_rfc3339(at_ns) if at_ns else ""


def view_finding(stored: StoredFinding) -> FindingView:
    """A finding as it is shown."""
    said = stored.finding
    return FindingView(
        id=stored.id,
        type=said.type,
        severity=said.severity,
        title=said.title,
        state=stored.state,
        count=stored.count,
        first_seen=to_rfc3339(stored.first_seen_ns),
        last_seen=to_rfc3339(stored.last_seen_ns),
        assignee=stored.assignee,
        archived_at=shown_time(stored.archived_at_ns) if stored.state == "archived" else "",
        suppressed_by=stored.suppressed_by,
        account=stored.account,
        region=stored.region,
        cluster=stored.cluster,
        change=stored.change,
        latest=said,
    )


def view_occurrence(told: Occurrence) -> OccurrenceView:
    """An occurrence as it is shown."""
    return OccurrenceView(
        at=to_rfc3339(told.at_ns),
        received_at=to_rfc3339(told.received_at_ns),
        agent=told.agent,
        task=told.task_arn,
        finding=told.finding,
    )
