"""The sidecar's side: what it shows, by its settings and where it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_stand import REGION, answering, giving, new_task

from outrider_sidecar.aws.credentials import CredentialSource
from outrider_sidecar.aws.instance import fetch_region
from outrider_sidecar.aws.proof import sts_url
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_sidecar.enrolling import Enrolling
from outrider_sidecar.journal import Journal
from outrider_sidecar.settings import Settings, load
from outrider_wire.aws_proof import COLLECTOR_HEADER, PUBLIC_KEY_HEADER, SIGNED_HEADERS
from outrider_wire.enrolment import EnrolRequest, encode_request, make_request, read_request
from outrider_wire.errors import ConfigError, DeliveryError, Unavailable
from outrider_wire.signing import SigningKey

ROLE = Credentials("ASIAEXAMPLEEXAMPLE", "secret", "session-token")
CONTAINER = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
URL = "https://collector.example:8440/outrider"


@pytest.fixture
def endpoint() -> Iterator[dict[str, str]]:
    """The environment of a container in a task with a role."""
    with giving(ROLE) as url:
        yield {CONTAINER: url, "AWS_REGION": REGION}


def shown(environ: dict[str, str], **settings: Any) -> EnrolRequest:
    """What a sidecar with these settings shows."""
    key = SigningKey.generate()
    bare = make_request(key, SigningKey.generate(), token="", task=new_task(), made_at_ns=1)
    request = Enrolling(Settings(collector_url=URL, **settings), environ=environ).show(bare)
    assert read_request(encode_request(request)) == request
    return request


@pytest.mark.parametrize(
    ("settings", "token", "aws"),
    [
        ({}, False, True),
        ({"token": "t"}, True, True),
        ({"enrol": "token", "token": "t"}, True, False),
        ({"enrol": "aws", "token": "t"}, False, True),
        ({"enrol": "both", "token": "t"}, True, True),
    ],
)
def test_in_a_task_with_a_role(settings: dict[str, str], token: bool, aws: bool, endpoint: dict[str, str]) -> None:
    """The role is shown besides the token, unless the settings say otherwise."""
    request = shown(endpoint, **settings)
    assert (bool(request.token), request.aws is not None) == (token, aws)


def test_a_proof_says_what_it_is_for(endpoint: dict[str, str]) -> None:
    """The key, and the collector by the host of its address, or by the name it is known to have."""
    request = shown(endpoint)
    assert request.aws is not None
    assert request.aws.headers[PUBLIC_KEY_HEADER] == request.public_key.hex()
    assert request.aws.headers[COLLECTOR_HEADER] == "collector.example"
    assert request.aws.url == f"https://sts.{REGION}.amazonaws.com/"
    assert set(request.aws.headers) == {*SIGNED_HEADERS, "authorization"}
    assert "secret" not in str(request)
    named = shown(endpoint, collector_name="the-one", sts_endpoint="https://vpce-1.sts.example")
    assert named.aws is not None
    assert named.aws.headers[COLLECTOR_HEADER] == "the-one"
    assert (named.aws.url, named.aws.headers["host"]) == ("https://vpce-1.sts.example/", "vpce-1.sts.example")


def test_a_role_that_cannot_be_had_is_gone_without_where_there_is_a_token() -> None:
    """And asked for again later where there is none, or where it is wanted."""
    gone = {CONTAINER: "http://127.0.0.1:9/x", "AWS_REGION": REGION}
    assert shown(gone, token="t").aws is None
    for settings in ({}, {"enrol": "aws"}, {"enrol": "both", "token": "t"}):
        with pytest.raises(DeliveryError, match="no AWS identity"):
            shown(gone, **settings)


def test_outside_of_a_task_a_token_is_enough() -> None:
    """Nobody asks for an instance's role then."""
    assert shown({}, token="t").aws is None


def test_without_a_token_the_instances_role_is_asked_for() -> None:
    """In host mode on EC2; a user's keys are none."""
    bare = make_request(SigningKey.generate(), SigningKey.generate(), token="", task=None, made_at_ns=1)
    keys = {"AccessKeyId": "ASIAX", "SecretAccessKey": "s", "Token": "t"}
    answers = {"/latest/meta-data/iam/security-credentials/": b"hosts", "/latest/api/token": b"token"}

    def imds(path: str) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, answers.get(path) or json.dumps(keys).encode()

    with answering(imds) as url:
        made = Enrolling(
            Settings(collector_url=URL),
            environ={"AWS_DEFAULT_REGION": REGION},
            make_source=lambda environ: CredentialSource(environ, instance_metadata=url),
        ).show(bare)
    assert made.aws is not None
    assert made.aws.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=ASIAX/")
    user = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": REGION}
    with pytest.raises(DeliveryError, match="user"):
        shown(user)


def test_the_region_is_told_or_the_tasks_or_the_instances() -> None:
    """In that order."""
    answers = {"/latest/meta-data/placement/region": b"eu-north-1", "/latest/api/token": b"token"}
    with answering(lambda path: (200, {}, answers[path])) as url:
        assert fetch_region(url) == "eu-north-1"
    with answering(lambda path: (404, {}, b"")) as url, pytest.raises(Unavailable):
        fetch_region(url)
    with giving(ROLE) as url:
        of_task = shown({CONTAINER: url})
    assert of_task.aws is not None
    assert of_task.aws.url == sts_url(REGION)
    assert sts_url("cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn/"


def test_nothing_that_vouches_is_kept(endpoint: dict[str, str], tmp_path: Path) -> None:
    """The journal keeps the enrolment for a successor, who shows its own."""
    key = SigningKey.generate()
    bare = make_request(key, SigningKey.generate(), token="", task=None, made_at_ns=1)
    enrolling = Enrolling(Settings(collector_url=URL, token="the-token"), environ=endpoint)
    with_all = enrolling.show(bare)
    journal = Journal.open(tmp_path, limit_bytes=1 << 20, key=key)
    journal.keep_enrolment(with_all)
    journal.close()
    assert not any(b"the-token" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert not any(b"session-token" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    kept = journal.kept_enrolment(key.agent)
    assert kept == bare
    again = enrolling.show(kept)
    assert again.aws is not None
    assert again.aws.headers[PUBLIC_KEY_HEADER] == key.public.hex()


@pytest.mark.parametrize(
    "environ",
    [
        {"OUTRIDER_ENROL": "magic"},
        {"OUTRIDER_ENROL": "token", "OUTRIDER_COLLECTOR_URL": "https://c"},
        {"OUTRIDER_STS_ENDPOINT": "sts.example"},
        {"OUTRIDER_COLLECTOR_NAME": "two words"},
    ],
)
def test_settings_that_make_no_sense_are_refused(environ: dict[str, str]) -> None:
    """At the start, by name."""
    with pytest.raises(ConfigError):
        load(environ)
