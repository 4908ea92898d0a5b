"""ASFF: what botocore's model and the limits documented in it say, since no stand-in checks it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator
from hostile_findings import QUICK, make_hostile
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.export.asff import MAX_FINDING_BYTES, at_ms, to_asff
from outrider_collector.export.security_hub import pack, read_answer
from outrider_collector.export.target import SENT

ACCOUNT, REGION = "123456789012", "eu-west-1"
TRIAGE = {"Workflow", "WorkflowState", "Note", "UserDefinedFields", "VerificationState"}
PROVIDERS = {"Severity", "Types", "Confidence", "Criticality", "RelatedFindings"}
UNDOCUMENTED = {"Resource.Id", "ContainerDetails.Name"}


@pytest.fixture(scope="module")
def model() -> ServiceModel:
    """Security Hub's service model, with its documentation."""
    return botocore.session.get_session().get_service_model("securityhub")


def asff(stored: Any) -> dict[str, Any]:
    """A finding as it is imported."""
    return to_asff(stored, account=ACCOUNT, region=REGION, partition="aws", now_ns=stored.last_seen_ns + 1)


def flaws(value: Any, shape: Shape, where: str) -> Iterator[str]:
    """What the documentation of a shape's members says against a value."""
    if isinstance(shape, StructureShape):
        for name, inner in value.items():
            member = shape.members[name]
            yield from documented(inner, member.documentation, f"{shape.name}.{name}")
            yield from flaws(inner, member, f"{where}.{name}")
    elif isinstance(shape, ListShape):
        for inner in value:
            yield from flaws(inner, shape.member, f"{where}[]")
    elif isinstance(shape, MapShape):
        for key, inner in value.items():
            yield from flaws(key, shape.key, f"{where}.key")
            yield from flaws(inner, shape.value, f"{where}[{key!r}]")
    elif isinstance(shape, StringShape):
        if (pattern := shape.metadata.get("pattern")) and not re.search(pattern, value):
            yield f"{where}: {value!r} is not {pattern}"
        if (words := shape.metadata.get("enum")) and value not in words:
            yield f"{where}: {value!r} is none of {words}"


def documented(value: Any, documentation: str, where: str) -> Iterator[str]:
    """Lengths and counts that a member's text names."""
    text = re.sub(r"<[^>]+>", "", documentation)
    if most := re.search(r"Maximum (?:length )?of (\d+)", text):
        if len(value) > int(most[1]):
            yield f"{where}: {len(value)} characters; at most {most[1]}"
    elif (exact := re.search(r"Length Constraints: (\d+)\.", text)) and where.endswith("AccountId"):
        if len(value) != int(exact[1]):
            yield f"{where}: {len(value)} characters, not {exact[1]}"
    elif exact and len(value) > int(exact[1]):
        yield f"{where}: {len(value)} characters; at most {exact[1]}"
    if (items := re.search(r"Maximum number of (\d+) item", text)) and not 1 <= len(value) <= int(items[1]):
        yield f"{where}: {len(value)} items; at most {items[1]}"
    if pairs := re.search(r"up to (\d+) key-value pairs.*?up to (\d+) characters.*?up to (\d+) characters", text):
        assert isinstance(value, dict)
        if len(value) > int(pairs[1]):
            yield f"{where}: {len(value)} pairs"
        yield from (f"{where}: key {key[:20]!r}" for key in value if not 0 < len(key) <= int(pairs[2]))
        yield from (f"{where}: value of {key!r}" for key, told in value.items() if len(told) > int(pairs[3]))


def check(whole: dict[str, Any], model: ServiceModel) -> None:
    """Everything that is known of what the API takes."""
    request = model.operation_model("BatchImportFindings").input_shape
    report = ParamValidator().validate({"Findings": [whole]}, request)
    assert not report.has_errors(), report.generate_report()
    found = list(flaws(whole, model.shape_for("AwsSecurityFinding"), "finding"))
    assert not found, found
    assert not (TRIAGE | PROVIDERS) & set(whole)
    assert len(json.dumps(whole)) <= MAX_FINDING_BYTES
    assert len(whole["Resources"]) <= 32
    for name in ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", whole[name])
    for kind in whole["FindingProviderFields"]["Types"]:
        assert re.fullmatch(r"(TTPs|Effects|Unusual Behaviors)/[A-Za-z ]+/[^/]+", kind)


def test_the_oracle_sees_what_is_wrong(stored: Any, model: ServiceModel) -> None:
    """Limits that are read from documentation are really found there."""
    whole = asff(stored())
    for name, wrong in {
        "Title": "x" * 257,
        "Description": "x" * 1025,
        "Id": " ",
        "AwsAccountId": "12",
        "ProductFields": {f"k{n}": "v" for n in range(51)},
        "Process": {"Name": "x" * 65},
        "RecordState": "GONE",
        "Threats": [{"Name": "x"}] * 33,
        "Remediation": {"Recommendation": {"Text": "x" * 513}},
    }.items():
        with pytest.raises(AssertionError):
            check(whole | {name: wrong}, model)


def test_a_whole_finding(stored: Any, model: ServiceModel) -> None:
    """Everything in its place."""
    whole = asff(stored())
    check(whole, model)
    assert whole["Id"] == "outrider/00112233445566778899aabbccddeeff"
    assert whole["ProductArn"] == f"arn:aws:securityhub:{REGION}:{ACCOUNT}:product/{ACCOUNT}/default"
    assert whole["FindingProviderFields"] == {
        "Severity": {"Label": "HIGH", "Original": "HIGH"},
        "Types": ["TTPs/Execution/Execution:Runtime-ReverseShell"],
    }
    assert whole["Process"] == {"Name": "sh", "Path": "/bin/sh", "Pid": 412, "ParentPid": 12}
    assert [resource["Type"] for resource in whole["Resources"]] == ["AwsEcsTask", "AwsEcsCluster", "Container"]
    task = whole["Resources"][0]["Details"]["AwsEcsTask"]
    assert task["TaskDefinitionArn"] == "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7"
    assert whole["Action"]["NetworkConnectionAction"]["RemotePortDetails"] == {"Port": 4444}
    assert whole["ProductFields"]["outrider/process/command_line"] == "sh -i"
    assert whole["RecordState"] == "ACTIVE"


def test_a_name_asked_for(stored: Any, model: ServiceModel) -> None:
    """Is the action of a DNS finding, and its category in a list a threat."""
    evidence = {"dns.name": "pool.example", "dns.transport": "udp", "dns.category": "mining"}
    whole = asff(stored(evidence=evidence))
    check(whole, model)
    assert whole["Action"]["DnsRequestAction"] == {"Domain": "pool.example", "Protocol": "UDP", "Blocked": False}
    assert whole["Threats"] == [{"Name": "mining", "Severity": "HIGH", "ItemCount": 1}]


def test_a_finding_that_is_dealt_with_is_archived(stored: Any) -> None:
    """Under the same Id, and updated later than before."""
    before, after = asff(stored()), asff(stored(state="archived", last_seen_ns=stored().last_seen_ns + 10**9))
    assert after["RecordState"] == "ARCHIVED" and after["Id"] == before["Id"]
    assert after["UpdatedAt"] > before["UpdatedAt"]


def test_a_finding_of_nothing_known(stored: Any, model: ServiceModel) -> None:
    """Without task, container and process there is still a resource."""
    whole = asff(stored(task=None, container=None, process=None, evidence={}))
    check(whole, model)
    assert whole["Resources"][0]["Type"] == "Other" and "Process" not in whole and "Action" not in whole


@QUICK
@given(data=st.data())
def test_no_text_makes_it_invalid(stored: Any, told: Any, model: ServiceModel, data: st.DataObject) -> None:
    """Whatever a hostile agent or program writes anywhere."""
    check(asff(make_hostile(stored, told, data)), model)


def test_too_much_evidence_is_left_out(stored: Any, model: ServiceModel) -> None:
    """Until it fits: what a character costs on the wire may be six bytes."""
    whole = asff(stored(evidence={f"key{n}": "\u4e2d" * 2048 for n in range(60)}))
    check(whole, model)
    assert 10 < len(whole["ProductFields"]) < 50 and whole["ProductFields"]["outrider/rule"] == "Reverse Shell"


def test_times_are_kept_within_what_can_be_said() -> None:
    """RFC 3339 in milliseconds."""
    assert at_ms(1_767_225_600_123_456_789) == "2026-01-01T00:00:00.123Z"
    assert at_ms(-1) == "1970-01-01T00:00:00.000Z" and at_ms(2**63 - 1).startswith("2262-")


def test_requests_are_filled_up_to_their_limits(stored: Any) -> None:
    """A hundred findings, or six megabytes."""
    assert len(pack([asff(stored())] * 150)) == 100
    big = asff(stored(evidence={f"key{n}": "\u4e2d" * 2048 for n in range(60)}))
    assert 20 < len(pack([big] * 100)) < 30
    assert len(pack([big])) == 1


def test_failures_are_read_one_by_one() -> None:
    """By their Id; what may succeed later is told from what never will."""
    batch = [{"Id": "a"}, {"Id": "b"}, {"Id": "c"}]
    failed = [
        {"Id": "a", "ErrorCode": "InternalError", "ErrorMessage": "try again"},
        {"Id": "c", "ErrorCode": "InvalidInput", "ErrorMessage": "no"},
    ]
    outcomes = read_answer(batch, {"FailedCount": 2, "SuccessCount": 1, "FailedFindings": failed})
    assert [outcome.status for outcome in outcomes] == ["later", "sent", "refused"]
    assert outcomes[2].reason == "InvalidInput: no"
    assert read_answer(batch, {"FailedCount": 0, "SuccessCount": 3}) == [SENT] * 3
