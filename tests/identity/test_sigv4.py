"""Our signatures are botocore's, to the letter, for many requests; and hold nothing that a proxy may change."""

import datetime
import hashlib
import string

import pytest
from botocore import auth as botocore_auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from outrider_sidecar.aws.sigv4 import Credentials, Request, canonical_form, host_of, sign

AT_S = 1_767_323_045
AT = datetime.datetime.fromtimestamp(AT_S, datetime.UTC)
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
GUEST = Credentials("ASIAEXAMPLE", "secret", "a/session+token==", AT_S + 3600)

WORDS = st.text(alphabet=string.ascii_letters + string.digits + "-_.~%/=:+@ ", max_size=12)
ENCODED = st.text(alphabet=string.ascii_letters + string.digits + "-_.~", max_size=8) | st.sampled_from(
    ["a%20b", "%2F"]
)
PATHS = st.lists(ENCODED | st.sampled_from(["", ".", "..", "ä", "a b", "x:y"]), max_size=5).map(
    lambda p: "/" + "/".join(p)
)
QUERIES = st.lists(st.tuples(ENCODED, ENCODED), max_size=5).map(lambda q: "&".join(f"{k}={v}" for k, v in q))
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Type", "X-Amz-Target", "x-custom", "User-Agent", "Expect", "Host", "X-Amzn-Trace-Id", "Accept"]
    ),
    WORDS.filter(str.strip),
    max_size=4,
)


def by_botocore(request: Request, keys: Credentials, region: str, service: str, monkeypatch) -> dict[str, str]:
    """The headers that AWS's own library would send."""
    monkeypatch.setattr(botocore_auth, "get_current_datetime", lambda: AT)
    made = AWSRequest(request.method, request.url, headers=dict(request.headers), data=request.body)
    SigV4Auth(BotoCredentials(keys.access_key, keys.secret_key, keys.token or None), service, region).add_auth(made)
    return dict(made.headers.items())


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as made:
        yield made


@settings(max_examples=400, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "post"]),
    host=st.sampled_from(
        ["ecs.eu-west-1.amazonaws.com", "127.0.0.1:5055", "sts.amazonaws.com:443", "[::1]:80", "H.example"]
    ),
    scheme=st.sampled_from(["http", "https"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.binary(max_size=60),
    keys=st.sampled_from([KEYS, GUEST]),
    service=st.sampled_from(["ecs", "sts", "execute-api"]),
    region=st.sampled_from(["eu-west-1", "us-gov-west-1", "cn-north-1"]),
)
@example("GET", "h.example", "https", "/", "", {}, b"", KEYS, "sts", "us-east-1")
@example(
    "POST", "h.example", "https", "/a/../b//c/", "b=2&a=1&a=0&c", {"X-Custom": "  a   b "}, b"x", GUEST, "ecs", "r"
)
def test_our_signature_is_botocores(patch, method, host, scheme, path, query, headers, body, keys, service, region):
    """Every header, the signature last: method, path, query, header and body of every shape."""
    url = f"{scheme}://{host}{path}" + (f"?{query}" if query else "")
    request = Request(url, method, headers, body)
    ours = sign(request, keys, region=region, service=service, at_s=AT_S)
    theirs = by_botocore(request, keys, region, service, patch)
    assert {k.lower(): v for k, v in ours.items()} == {k.lower(): v for k, v in theirs.items()}


def test_a_request_that_asks_who_one_is(patch):
    """The request that will prove an identity: STS GetCallerIdentity with a header of our own signed."""
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "X-Outrider-Server-Id": "c.example"}
    request = Request("https://sts.eu-west-1.amazonaws.com/", "POST", headers, body)
    signed = sign(request, GUEST, region="eu-west-1", service="sts", at_s=AT_S)
    assert "host;x-amz-date;x-amz-security-token;x-outrider-server-id" in signed["Authorization"]
    assert signed == by_botocore(request, GUEST, "eu-west-1", "sts", patch)


def test_what_is_signed_is_the_body_too():
    """The last line of the canonical form is its digest."""
    form, _ = canonical_form(Request("https://h.example/", body=b"abc"), {})
    assert form.splitlines()[-1] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("header", ["authorization", "Date", "x-amz-date", "X-AMZ-Security-Token"])
def test_headers_that_signing_sets_are_refused(header):
    """They would be doubled, or signed as they are not sent."""
    with pytest.raises(ValueError, match=header.lower()):
        sign(Request("https://h.example/", headers={header: "x"}), KEYS, region="r", service="s", at_s=0)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://h.example/x", "h.example"),
        ("https://h.example:443/", "h.example"),
        ("http://h.example:80", "h.example"),
        ("https://h.example:80/", "h.example:80"),
        ("http://[::1]:5000/", "[::1]:5000"),
    ],
)
def test_the_host_is_what_the_client_sends(url, host):
    """The port only where it is not the scheme's own."""
    assert host_of(url) == host


def test_secrets_are_not_shown():
    """Neither by repr nor in a message made of it."""
    assert "wJalr" not in f"{KEYS} {KEYS!r}" and "session" not in repr(GUEST)
