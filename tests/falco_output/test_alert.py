"""The shape of an alert: what falcosidekick and Falco's own graders read."""

import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.falco_output import to_alert
from outrider_wire.findings import Finding

MINIMAL = Finding(
    id="x",
    type="Outrider:Integrity/SightLost",
    rule="Sight Lost",
    severity="MEDIUM",
    title="Something was not seen",
    at="2026-01-02T03:04:05.000000006Z",
    process=None,
    container=None,
    evidence={},
    attribution="unknown",
)


def test_an_alert_has_falcos_keys(finding: Finding) -> None:
    """Keys, priority and time are spelled as Falco spells them."""
    alert = json.loads(msgspec.json.encode(to_alert(finding, hostname="web-1")))
    fields = alert.pop("output_fields")
    assert alert == {
        "uuid": str(uuid.UUID(finding.id)),
        "output": "03:04:05.000000006: Informational a shell (command=sh -i)",
        "message": "a shell (command=sh -i)",
        "priority": "Informational",
        "rule": "Reverse Shell",
        "time": "2026-01-02T03:04:05.000000006Z",
        "source": "syscall",
        "tags": ["T1059.004", "mitre_execution"],
        "hostname": "web-1",
    }
    assert fields["evt.time"] == 1767323045000000006
    assert fields["proc.aname"] == "(nginx)"
    assert (fields["fd.sport"], fields["proc.tty"], fields["b"]) == (443, None, True)
    assert (fields["proc.pname"], fields["container.name"], fields["proc.pid"]) == ("nginx", "web", 7)
    assert fields["outrider.type"] == "Execution:Runtime/ReverseShell"
    assert fields["ecs.task_arn"].startswith("arn:")


@pytest.mark.parametrize(
    ("priority", "severity", "spelled"),
    [
        *((word.upper(), "LOW", word) for word in ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice")),
        ("DEBUG", "HIGH", "Debug"),
        ("INFO", "HIGH", "Informational"),
        *(("", severity, word) for severity, word in (("HIGH", "Critical"), ("MEDIUM", "Warning"), ("LOW", "Notice"))),
    ],
)
def test_every_priority_is_spelled_as_falco_does(finding: Finding, priority: str, severity: str, spelled: str) -> None:
    """A finding without a rule's priority has that of its severity."""
    changed = msgspec.structs.replace(finding, priority=priority, severity=severity)
    assert to_alert(changed, hostname="h").priority == spelled


def test_a_finding_that_knows_nothing_still_makes_a_whole_alert() -> None:
    """No process, container, evidence or rule: fields are there all the same, and the source says who spoke."""
    alert = to_alert(MINIMAL, hostname="h")
    assert alert.output_fields
    assert alert.source == "internal"
    assert alert.output == "03:04:05.000000006: Warning Something was not seen"


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers(-(2**60), 2**60) | st.lists(st.text())))
def test_hostile_text_stays_one_line_of_json(text: str, evidence: dict[str, object]) -> None:
    """Whatever a guarded program put into a name, one alert is one line."""
    named = msgspec.structs.replace(MINIMAL, description=text, evidence=evidence)
    line = msgspec.json.encode(to_alert(named, hostname="h"))
    assert b"\n" not in line
    assert json.loads(line)["rule"] == "Sight Lost"
