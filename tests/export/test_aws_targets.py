"""Security Hub and EventBridge, by boto3 over HTTP: against moto's server, and against one that fails as AWS does."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from receivers import Receiver, answer, close, hang, running_receiver

from outrider_collector.export import aws
from outrider_collector.export.configuration import EventBridge, SecurityHub
from outrider_collector.export.event_bridge import EventBridgeTarget
from outrider_collector.export.security_hub import SecurityHubTarget
from outrider_wire.errors import DeliveryError

REGION = "eu-west-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment, and of nowhere else."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server; its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An endpoint that answers as it is told."""
    with running_receiver() as running:
        yield running


def hub(endpoint: str, **changes: Any) -> SecurityHubTarget:
    """A target of Security Hub."""
    return SecurityHubTarget(SecurityHub(name="hub", region=REGION, endpoint=endpoint, **changes))


def bus(endpoint: str) -> EventBridgeTarget:
    """A target of EventBridge."""
    return EventBridgeTarget(EventBridge(name="bus", region=REGION, endpoint=endpoint))


def told(body: dict[str, Any], status: int = 200) -> Any:
    """An answer of AWS."""
    return answer(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def error(code: str, status: int) -> Any:
    """A refusal of AWS."""
    return answer(status, {"x-amzn-ErrorType": code}, json.dumps({"__type": code, "message": "because"}).encode())


def test_security_hub_keeps_one_finding_for_one_id(moto: str, stored: Any) -> None:
    """Imported again it is updated; its account is the caller's, asked for once."""
    client = boto3.client("securityhub", region_name=REGION, endpoint_url=moto)
    client.enable_security_hub()
    target = hub(moto)
    assert [outcome.status for outcome in target.send([stored(), stored(id="b" * 32)])] == ["sent"] * 2
    target.send([stored(count=77, state="archived", last_seen_ns=stored().last_seen_ns + 10**12)])
    found = {finding["Id"]: finding for finding in client.get_findings()["Findings"]}
    assert len(found) == 2
    assert found[f"outrider/{stored().id}"]["ProductFields"]["outrider/count"] == "77"
    assert {finding["AwsAccountId"] for finding in found.values()} == {"123456789012"}
    target.close()


def test_event_bridge_takes_events(moto: str, stored: Any) -> None:
    """A rule with a queue behind it would see them; here all are taken."""
    target = bus(moto)
    assert [outcome.status for outcome in target.send([stored()] * 12)] == ["sent"] * 10
    target.close()


def test_findings_that_failed_are_told_one_by_one(receiver: Receiver, stored: Any) -> None:
    """What Security Hub says of each, and what was sent."""
    failed = [{"Id": f"outrider/{'b' * 32}", "ErrorCode": "InternalError", "ErrorMessage": "try again"}]
    receiver.script = [told({"FailedCount": 1, "SuccessCount": 1, "FailedFindings": failed})]
    outcomes = hub(receiver.url, account="210987654321").send([stored(), stored(id="b" * 32)])
    assert [outcome.status for outcome in outcomes] == ["sent", "later"]
    (post,) = receiver.posts
    assert post.path == "/findings/import"
    assert {each["AwsAccountId"] for each in post.json["Findings"]} == {"210987654321"}


def test_entries_that_failed_are_told_one_by_one(receiver: Receiver, stored: Any) -> None:
    """In the order of the entries."""
    entries = [{"EventId": "1"}, {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}]
    receiver.script = [told({"FailedEntryCount": 1, "Entries": entries})]
    outcomes = bus(receiver.url).send([stored(), stored(id="b" * 32)])
    assert [outcome.status for outcome in outcomes] == ["sent", "later"]
    sent = receiver.posts[0].json["Entries"]
    assert [json.loads(entry["Detail"])["id"][0] for entry in sent] == ["0", "b"]


@pytest.mark.parametrize(
    ("behave", "refused"),
    [
        (error("InvalidInputException", 400), True),
        (error("ValidationException", 400), True),
        (answer(413), True),
        (error("InvalidAccessException", 401), False),
        (error("AccessDeniedException", 403), False),
        (error("UnrecognizedClientException", 403), False),
        (error("LimitExceededException", 429), False),
        (error("InternalException", 500), False),
        (answer(503), False),
        (answer(200, body=b"not json"), False),
        (close, False),
        (hang, False),
    ],
)
def test_failures_of_a_whole_request(
    receiver: Receiver, stored: Any, behave: Any, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is at fault only where the API says so; boto3 tries once, and we decide when again."""
    monkeypatch.setattr(aws, "READ_S", 0.5)
    receiver.otherwise = behave
    for target in (hub(receiver.url, account="123456789012"), bus(receiver.url)):
        receiver.posts.clear()
        with pytest.raises(DeliveryError) as caught:
            target.send([stored()])
        assert caught.value.refused is refused, str(caught.value)
        assert len(receiver.posts) == 1


def test_without_credentials_or_region_it_waits(receiver: Receiver, stored: Any, monkeypatch: Any) -> None:
    """And says so."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DeliveryError, match="NoCredentials"):
        bus(receiver.url).send([stored()])
    with pytest.raises(DeliveryError, match="NoRegion"):
        EventBridgeTarget(EventBridge(name="bus")).send([stored()])
