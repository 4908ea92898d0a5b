"""Which findings a stream is for, held against each as it comes."""

from outrider_collector.api.findings import Common
from outrider_collector.store.stored import StoredFinding


class StreamFilter(Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is given must hold of a finding's newest occurrence."""


def passes(wanted: StreamFilter, stored: StoredFinding) -> bool:
    """Whether a finding is for the stream."""
    said = stored.finding
    equal = (
        (wanted.rule, said.rule),
        (wanted.account, stored.account),
        (wanted.region, stored.region),
        (wanted.cluster, stored.cluster),
        (wanted.family, said.task.family if said.task else ""),
        (wanted.task, said.task.arn if said.task else ""),
        (wanted.container, said.container.name if said.container else ""),
        (wanted.assignee, stored.assignee),
    )
    return (
        (not wanted.severity or said.severity in wanted.severity)
        and (not wanted.state or stored.state in wanted.state)
        and said.type.startswith(wanted.type)
        and all(not asked or asked == value for asked, value in equal)
    )
