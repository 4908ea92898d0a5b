"""Credentials from each of their sources over HTTP on loopback, fetched again in time, kept through an outage."""

import http.server
import json
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.aws.credentials import REFRESH_BEFORE_S, CredentialSource, parse_credentials
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_wire.errors import Unavailable
from outrider_wire.timestamps import to_rfc3339

NOW_S = 1_767_323_045
ROLE = "guards-role"


def keys(number: int, *, expires_s: float = NOW_S + 3600, **more: object) -> dict[str, object]:
    expiration = to_rfc3339(int(expires_s * 1e9))
    return {"AccessKeyId": f"AKID{number}", "SecretAccessKey": "s", "Token": "t", "Expiration": expiration, **more}


class Endpoint:
    """ECS's credentials endpoint and the instance's metadata service, version 2, in one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.answer: dict[str, object] = {
            "/v2/credentials/abc": keys(1),
            "/full": keys(2),
            "/latest/api/token": b"TOKEN",
            "/latest/meta-data/iam/security-credentials/": ROLE.encode(),
            f"/latest/meta-data/iam/security-credentials/{ROLE}": keys(3, Code="Success", Type="AWS-HMAC"),
        }
        endpoint = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                found = endpoint.answer.get(self.path, 404)
                wants_token = self.path.startswith("/latest/meta-data")
                if wants_token and self.headers.get("X-aws-ec2-metadata-token") != "TOKEN":
                    found = 401
                self.send_response(found if isinstance(found, int) else 200)
                self.end_headers()
                if not isinstance(found, int):
                    self.wfile.write(found if isinstance(found, bytes) else json.dumps(found).encode())

            def do_PUT(self) -> None:
                assert int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def source(endpoint: Endpoint, environ: dict[str, str], now_s: float = NOW_S) -> CredentialSource:
    return CredentialSource(environ, ecs_endpoint=endpoint.uri, instance_metadata=endpoint.uri, clock=lambda: now_s)


RELATIVE = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/abc"}
STATIC = {"AWS_ACCESS_KEY_ID": "AKID0", "AWS_SECRET_ACCESS_KEY": "s"}


def test_the_environment_comes_first(endpoint):
    """With its session token, and for ever."""
    got = source(endpoint, STATIC | RELATIVE | {"AWS_SESSION_TOKEN": "t"}).get()
    assert (got, endpoint.asked) == (Credentials("AKID0", "s", "t", 0.0), [])


def test_a_tasks_role_is_asked_of_ecs(endpoint):
    """By the path that ECS sets."""
    assert source(endpoint, RELATIVE).get() == Credentials("AKID1", "s", "t", NOW_S + 3600)


def test_a_full_address_gets_the_token_of_its_file(endpoint, tmp_path):
    """Read anew each time, as its writer may change it."""
    (tmp_path / "token").write_text("from-file\n")
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.uri + "/full",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "plain",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert source(endpoint, environ).get().access_key == "AKID2"
    assert endpoint.asked[-1][2]["authorization"] == "from-file"
    (tmp_path / "token").unlink()
    with pytest.raises(Unavailable, match="TOKEN_FILE"):
        source(endpoint, environ).get()


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/full", "http://example.test/full", "http://169.254.169.254/x", "ftp://127.0.0.1/", "x"]
)
def test_plain_http_is_taken_from_this_machine_alone(endpoint, url):
    """A variable that somebody set must not send requests for keys abroad."""
    with pytest.raises(Unavailable):
        source(endpoint, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}).get()
    assert endpoint.asked == []


def test_an_instance_is_asked_by_version_two_alone(endpoint):
    """A token by PUT, then the role, then its keys, each with the token."""
    assert source(endpoint, {}).get().access_key == "AKID3"
    assert [(method, path.rpartition("/")[2]) for method, path, _ in endpoint.asked] == [
        ("PUT", "token"),
        ("GET", ""),
        ("GET", ROLE),
    ]
    endpoint.answer["/latest/api/token"] = 403
    with pytest.raises(Unavailable, match="answered 403"):
        source(endpoint, {}).get()


def test_an_instance_that_is_switched_off_is_not_asked(endpoint):
    """AWS_EC2_METADATA_DISABLED, as for AWS's own tools."""
    with pytest.raises(Unavailable, match="no AWS credentials"):
        source(endpoint, {"AWS_EC2_METADATA_DISABLED": "true"}).get()
    assert endpoint.asked == []


def test_credentials_are_fetched_again_before_they_expire(endpoint):
    """Not while they are good, and in time before they are not."""
    now_s = [float(NOW_S)]
    made = CredentialSource(RELATIVE, ecs_endpoint=endpoint.uri, clock=lambda: now_s[0])
    assert made.get() is made.get()
    now_s[0] += 3600 - REFRESH_BEFORE_S
    endpoint.answer["/v2/credentials/abc"] = keys(9, expires_s=now_s[0] + 3600)
    assert made.get().access_key == "AKID9"
    assert len(endpoint.asked) == 2


def test_the_old_ones_serve_through_an_outage_until_they_expire(endpoint):
    """Then there are none."""
    now_s = [float(NOW_S)]
    made = CredentialSource(RELATIVE, ecs_endpoint=endpoint.uri, clock=lambda: now_s[0])
    first = made.get()
    endpoint.answer["/v2/credentials/abc"] = 500
    now_s[0] += 3600 - 1
    assert made.get() is first
    now_s[0] += 1
    with pytest.raises(Unavailable, match="answered 500"):
        made.get()


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b"[" * 10_000, keys(1, SecretAccessKey=""), keys(1, Code="AssumeRoleUnauthorizedAccess"),
     keys(1, Token="a\r\nX-Evil: 1"), keys(1, AccessKeyId=5), keys(1, Expiration="tomorrow")],
)  # fmt: skip
def test_an_endpoint_that_talks_nonsense_is_unavailable(endpoint, answer):
    """Nothing of it reaches a header."""
    endpoint.answer["/v2/credentials/abc"] = answer
    with pytest.raises(Unavailable):
        source(endpoint, RELATIVE).get()


@given(
    st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(["AccessKeyId", "SecretAccessKey", "Token", "Expiration", "Code"]),
        st.none() | st.integers() | st.text(),
    ).map(lambda d: json.dumps(d).encode())
)
def test_any_bytes_are_credentials_or_refused(raw):
    """And those that are taken can stand in a header."""
    try:
        got = parse_credentials(raw)
    except ValueError:
        return
    assert (got.access_key + got.secret_key + got.token).isprintable()
