"""The signed question is looked at before anybody is asked: whatever is wrong with it is named."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_collector.identity.endpoints import allowed_endpoints
from outrider_collector.identity.proof import check_proof
from outrider_sidecar.aws.proof import make_proof, sts_url
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_wire.aws_proof import SIGNED_HEADERS, AwsProof
from outrider_wire.enrolment import EnrolRequest, make_request
from outrider_wire.errors import ConfigError, WireError
from outrider_wire.signing import SigningKey

REGIONS = ["eu-west-1", "us-east-1", "cn-north-1", "us-gov-west-1"]
ENDPOINTS = allowed_endpoints(REGIONS, "")
CREDENTIALS = Credentials("ASIAEXAMPLEEXAMPLE", "secret", "a+session/token==")
KEY, RESUME = SigningKey.generate(), SigningKey.generate()
NOW_S = 1_767_323_045.0

Change = Callable[[dict[str, str]], Any]


def signed(region: str = "eu-west-1", *, at_s: float = NOW_S, collector: str = "here", url: str = "") -> EnrolRequest:
    """An enrolment with its proof."""
    bare = make_request(KEY, RESUME, token="", task=None, made_at_ns=1)
    url = url or sts_url(region)
    proof = make_proof(bare, CREDENTIALS, collector=collector, url=url, region=region, at_s=at_s)
    return replace(bare, aws=proof)


def refusal(request: EnrolRequest, proof: AwsProof | None = None) -> str:
    """What is wrong with a proof."""
    proof = proof or request.aws
    assert proof is not None
    with pytest.raises(WireError) as refused:
        check_proof(request, proof, ENDPOINTS, collector="here", now_s=NOW_S)
    assert refused.value.code == "aws-proof"
    return refused.value.detail


@pytest.mark.parametrize("region", REGIONS)
def test_an_honest_proof_is_for_the_sts_of_its_region(region: str) -> None:
    """Of each partition."""
    request = signed(region)
    assert request.aws is not None
    endpoint = check_proof(request, request.aws, ENDPOINTS, collector="here", now_s=NOW_S)
    assert (endpoint.region, endpoint.scheme, endpoint.port) == (region, "https", None)
    assert endpoint.host == f"sts.{region}.amazonaws.com" + (".cn" if region == "cn-north-1" else "")


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.eu-west-2.amazonaws.com/",
        "https://sts.amazonaws.com/",
        "http://sts.eu-west-1.amazonaws.com/",
        "https://sts.eu-west-1.amazonaws.com",
        "https://sts.eu-west-1.amazonaws.com:443/",
        "https://sts.eu-west-1.amazonaws.com.evil.example/",
        "https://evil.example/?sts.eu-west-1.amazonaws.com/",
        "https://sts.eu-west-1.amazonaws.com@evil.example/",
        "https://STS.eu-west-1.amazonaws.com/",
        "https://sts.eu-west-1.amazonaws.com/?Action=AssumeRole",
        "https://sts.eu-west-1.amazonaws.com/../",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_address_is_sts(url: str) -> None:
    """However much it looks like one."""
    request = signed()
    assert request.aws is not None
    assert "no STS endpoint" in refusal(request, replace(request.aws, url=url))


@pytest.mark.parametrize("name", [*SIGNED_HEADERS, "authorization"])
def test_every_header_is_needed(name: str) -> None:
    """One that is missing is named."""
    request = signed()
    assert request.aws is not None
    headers = {key: value for key, value in request.aws.headers.items() if key != name}
    assert f"{name} is missing" in refusal(request, replace(request.aws, headers=headers))


@pytest.mark.parametrize("name", [*SIGNED_HEADERS])
def test_every_header_is_signed(name: str) -> None:
    """One that is there but not signed could be anybody's."""
    request = signed()
    assert request.aws is not None
    names = ";".join(each for each in SIGNED_HEADERS if each != name)
    authorization = request.aws.headers["authorization"].replace(";".join(SIGNED_HEADERS), names)
    headers = request.aws.headers | {"authorization": authorization}
    assert f"{name} is not signed" in refusal(request, replace(request.aws, headers=headers))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "evil.example"}, "host is"),
        ({"host": "sts.us-east-1.amazonaws.com"}, "host is"),
        ({"content-type": "application/json"}, "content-type is"),
        ({"x-outrider-collector": "there"}, "x-outrider-collector is"),
        ({"x-outrider-public-key": "00" * 32}, "x-outrider-public-key is"),
        ({"x-outrider-resume-key": "00" * 32}, "x-outrider-resume-key is"),
        ({"x-amz-date": "now"}, "is no time"),
        ({"x-amz-date": "20269901T000000Z"}, "is no time"),
        ({"x-amz-security-token": "a\r\nHost: evil.example"}, "no plain text"),
        ({"x-amz-security-token": ""}, "no plain text"),
        ({"x-amz-security-token": "ä"}, "no plain text"),
        ({"x-forwarded-host": "evil.example"}, "no business"),
        ({"transfer-encoding": "chunked"}, "no business"),
        ({"content-length": "0"}, "no business"),
        ({"x-amz-target": "Other"}, "no business"),
        ({"Host": "evil.example"}, "no business"),
        ({"authorization": "Bearer x"}, "no Signature Version 4"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=A/20260102/eu-west-1/sts/aws4_request"}, "no Signature"),
    ],
)
def test_every_header_says_what_it_must(changed: dict[str, str], said: str) -> None:
    """And there are no others."""
    request = signed()
    assert request.aws is not None
    assert said in refusal(request, replace(request.aws, headers=request.aws.headers | changed))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/eu-west-1/sts/", "/us-east-1/sts/", "signed for us-east-1"),
        ("/sts/", "/iam/", "no Signature Version 4"),
        ("/20260102/", "/20260101/", "another day"),
        ("SignedHeaders=", "SignedHeaders=accept;", "other headers"),
    ],
)
def test_the_signature_is_for_this_question(old: str, new: str, said: str) -> None:
    """This region, this service, this day, these headers."""
    request = signed()
    assert request.aws is not None
    authorization = request.aws.headers["authorization"].replace(old, new)
    assert said in refusal(
        request, replace(request.aws, headers=request.aws.headers | {"authorization": authorization})
    )


@pytest.mark.parametrize(("off_s", "word"), [(-301, "old"), (301, "early"), (-86_400, "old"), (1e9, "early")])
def test_the_question_is_of_now(off_s: float, word: str) -> None:
    """By the collector's own clock."""
    assert f"too {word}" in refusal(signed(at_s=NOW_S + off_s))


def test_a_captured_proof_is_no_use_for_another_key() -> None:
    """Nor for another resume key."""
    proof = signed().aws
    for other in (
        make_request(SigningKey.generate(), RESUME, token="", task=None, made_at_ns=1),
        make_request(KEY, SigningKey.generate(), token="", task=None, made_at_ns=1),
    ):
        assert "x-outrider-" in refusal(other, proof)


@given(
    url=st.text(max_size=300),
    headers=st.dictionaries(st.sampled_from([*SIGNED_HEADERS, "authorization"]) | st.text(max_size=20), st.text()),
)
def test_whatever_comes_is_refused_by_name(url: str, headers: dict[str, str]) -> None:
    """There is no third way."""
    request = signed()
    assert request.aws is not None
    refusal(request, AwsProof(url, dict(headers)))
    refusal(request, AwsProof(request.aws.url, request.aws.headers | {"x": "x"} | headers))


@given(authorization=st.text(), date=st.text() | st.from_regex(r"[0-9]{8}T[0-9]{6}Z", fullmatch=True))
def test_every_signature_and_date_is_refused_by_name(authorization: str, date: str) -> None:
    """Those that are not of now, that is."""
    request = signed()
    assert request.aws is not None
    headers = request.aws.headers | {"authorization": authorization, "x-amz-date": date}
    refusal(request, AwsProof(request.aws.url, headers))


@pytest.mark.parametrize(
    "url", ["http://sts.example", "ftp://127.0.0.1", "https://", "https://a/b", "https://u@a", "x"]
)
def test_an_override_is_https_or_here(url: str) -> None:
    """Who answers there decides who is let in."""
    with pytest.raises(ConfigError):
        allowed_endpoints([], url)
    assert list(allowed_endpoints(["eu-west-1"], "http://127.0.0.1:5000")) == ["http://127.0.0.1:5000/"]


@pytest.mark.parametrize("region", ["", "evil.example/", "eu-west-1.evil", "EU-WEST-1", "eu-west-1\n"])
def test_only_regions_are_regions(region: str) -> None:
    """Nothing else becomes part of a host's name."""
    with pytest.raises(ConfigError):
        allowed_endpoints([region], "")


def test_a_users_keys_prove_nothing() -> None:
    """A user is no task."""
    bare = make_request(KEY, RESUME, token="", task=None, made_at_ns=1)
    with pytest.raises(ValueError, match="user"):
        make_proof(
            bare, Credentials("AKIA", "s"), collector="c", url=sts_url("eu-west-1"), region="r", at_s=time.time()
        )
