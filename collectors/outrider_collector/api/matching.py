"""Which findings a stream is for, held against each as it comes."""

from msgspec import Struct

from outrider_collector.api.findings import Severities, States
from outrider_collector.api.parameters import Text
from outrider_collector.store.stored import StoredFinding


class StreamFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is given must hold, of a finding's newest occurrence. `type` is the beginning of one."""

    severity: Severities = []
    state: States = []
    type: Text = ""
    rule: Text = ""
    account: Text = ""
    region: Text = ""
    cluster: Text = ""
    family: Text = ""
    task: Text = ""
    container: Text = ""
    assignee: Text = ""


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
