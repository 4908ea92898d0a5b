"""GuardDuty's shape: what botocore's own parser reads of it, and that there is nothing it does not know."""

import json
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, ServiceModel, Shape, StructureShape
from botocore.parsers import create_parser
from hostile_findings import QUICK, make_hostile
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.export.configuration import EventBridge
from outrider_collector.export.event_bridge import MAX_ENTRY_BYTES, entry_bytes, pack, read_answer, to_entry
from outrider_collector.export.guardduty import to_guardduty
from outrider_wire.errors import DeliveryError


@pytest.fixture(scope="module")
def model() -> ServiceModel:
    """GuardDuty's service model."""
    return botocore.session.get_session().get_service_model("guardduty")


def unknown(value: Any, shape: Shape, where: str) -> list[str]:
    """Keys that a shape does not have, and values of another kind."""
    if isinstance(shape, StructureShape):
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        flaws = [f"{where}.{key}" for key in value if key not in members]
        return flaws + [
            flaw for key in value if key in members for flaw in unknown(value[key], members[key], f"{where}.{key}")
        ]
    if isinstance(shape, ListShape):
        return [flaw for inner in value for flaw in unknown(inner, shape.member, f"{where}[]")]
    kinds: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "double": float, "timestamp": (int, float)}
    return [] if isinstance(value, kinds[shape.type_name]) else [f"{where}: {value!r} is no {shape.type_name}"]


def parse(told: dict[str, Any], model: ServiceModel) -> dict[str, Any]:
    """The finding as boto3 would hand it out."""
    body = json.dumps({"findings": [told]}).encode()
    shape = model.operation_model("GetFindings").output_shape
    answer = {"body": body, "headers": {}, "status_code": 200}
    (found,) = create_parser("rest-json").parse(answer, shape)["Findings"]
    return dict(found)


def test_a_whole_finding_is_read_as_guarddutys_own(stored: Any, model: ServiceModel) -> None:
    """Process, context, task and action are where tools look for them."""
    told = to_guardduty(stored())
    assert not unknown(told, model.shape_for("Finding"), "finding")
    assert set(model.shape_for("Finding").required_members) <= set(parse(told, model))
    found = parse(told, model)
    process = found["Service"]["RuntimeDetails"]["Process"]
    assert process["ExecutablePath"] == "/bin/sh" and process["Lineage"][0]["Name"] == "nginx"
    assert process["User"] == "www-data" and process["StartTime"].year == 2027
    task = found["Resource"]["EcsClusterDetails"]["TaskDetails"]
    assert task["Arn"].startswith("arn:aws:ecs:") and task["Containers"][0]["Name"] == "app"
    assert task["DefinitionArn"].endswith(":task-definition/web:7")
    assert found["Severity"] == 8.0 and found["Service"]["Count"] == 3
    remote = found["Service"]["Action"]["NetworkConnectionAction"]
    assert remote["RemoteIpDetails"]["IpAddressV4"] == "198.51.100.7"
    more = json.loads(found["Service"]["AdditionalInfo"]["Value"])
    assert more["commandLine"] == "sh -i" and more["rule"] == "Reverse Shell"


def test_the_context_is_taken_from_the_evidence(stored: Any, model: ServiceModel) -> None:
    """Scripts, libraries, preloads and files."""
    evidence = {"library.path": "/tmp/evil.so", "proc.env[LD_PRELOAD]": "/tmp/evil.so", "file.change": "deleted",
                "file.path": "/root/.bash_history"}  # fmt: skip
    told = to_guardduty(stored(evidence=evidence))
    assert not unknown(told, model.shape_for("Finding"), "finding")
    assert told["service"]["runtimeDetails"]["context"] == {
        "libraryPath": "/tmp/evil.so",
        "ldPreloadValue": "/tmp/evil.so",
        "filePath": "/root/.bash_history",
        "fileOperation": "Delete",
    }


def test_an_address_of_the_sixth_version(stored: Any, model: ServiceModel) -> None:
    """Has a place of its own; inbound is said."""
    told = to_guardduty(stored(evidence={"fd.rip": "2001:db8::1", "fd.rport": 53, "net.direction": "inbound"}))
    assert not unknown(told, model.shape_for("Finding"), "finding")
    action = told["service"]["action"]["networkConnectionAction"]
    assert action["remoteIpDetails"] == {"ipAddressV6": "2001:db8::1"} and action["connectionDirection"] == "INBOUND"


@QUICK
@given(data=st.data())
def test_no_text_makes_it_another_shape(stored: Any, told: Any, model: ServiceModel, data: st.DataObject) -> None:
    """Whatever is written anywhere, it is read, and fits into an event."""
    found = make_hostile(stored, told, data)
    shape = to_guardduty(found)
    assert not unknown(shape, model.shape_for("Finding"), "finding")
    parse(shape, model)
    entry = to_entry(found, EventBridge(name="x"))
    assert entry_bytes(entry) <= MAX_ENTRY_BYTES
    assert json.loads(entry["Detail"])["id"] == found.id


def test_an_event(stored: Any) -> None:
    """Source, detail-type and resources as a rule's pattern matches them."""
    entry = to_entry(stored(), EventBridge(name="x", bus="security"))
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("outrider", "Outrider Finding", "security")
    assert [arn.split(":")[5].split("/")[0] for arn in entry["Resources"]] == ["task", "cluster"]
    assert entry["Time"].year == 2027


def test_requests_are_filled_up_to_their_limits(stored: Any) -> None:
    """Ten entries, or less than a megabyte."""
    entry = to_entry(stored(), EventBridge(name="x"))
    assert len(pack([entry] * 20)) == 10
    big = entry | {"Detail": "x" * 240_000}
    assert len(pack([big] * 10)) == 4
    assert sum(map(entry_bytes, pack([big] * 10))) < 1_000_000


def test_failures_are_read_one_by_one() -> None:
    """In the order of the entries."""
    answer = {"FailedEntryCount": 2, "Entries": [{"EventId": "1"}, {"ErrorCode": "ThrottlingException"},
                                                 {"ErrorCode": "MalformedDetail", "ErrorMessage": "no"}]}  # fmt: skip
    outcomes = read_answer([{}, {}, {}], answer)
    assert [outcome.status for outcome in outcomes] == ["sent", "later", "refused"]
    with pytest.raises(DeliveryError):
        read_answer([{}], {"FailedEntryCount": 1})
