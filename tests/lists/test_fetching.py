"""Fetching: files, https and S3, only when they changed, bounded, and to nowhere else."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from outrider_collector.lists import fetching
from outrider_collector.lists.fetching import Fetched, fetch
from outrider_collector.lists.sources import Source


def make_certificate(folder: Path) -> Path:
    """A PEM file with key and certificate of 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lists")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


class Feed:
    """A feed over TLS on loopback; `seen` has path and headers of each request."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        feed = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                feed.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                kind, _, rest = self.path[1:].partition("/")
                body = b"evil.example\n"
                changed = self.headers.get("If-None-Match") != '"1"'
                status = {"list": 200 if changed else 304, "go": 302, "loop": 302, "long": 200}.get(kind, 404)
                self.send_response(status)
                if kind == "go":
                    self.send_header("Location", rest.replace("SELF", feed.url))
                if kind == "loop":
                    self.send_header("Location", "/loop")
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", str(9_999 if kind == "long" else len(body) if status == 200 else 0))
                self.end_headers()
                if status == 200:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        pem = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        (folder / "header").write_text("X-Key: secret\n")
        self.source = Source(name="a", place=self.url, ca_file=str(pem), header_file=str(folder / "header"))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    made = Feed(tmp_path_factory.mktemp("feed"))
    yield made
    made.close()


def test_a_feed_is_fetched_once_and_then_asked_whether_it_changed(feed):
    """With the key that goes along, over TLS that is verified."""
    first = fetch(feed.source, f"{feed.url}/list", "")
    assert first == Fetched(b"evil.example\n", 'etag "1"')
    assert fetch(feed.source, f"{feed.url}/list", first.mark) == Fetched(None, first.mark)
    assert feed.seen[-1][1]["x-key"] == "secret"


def test_a_redirect_is_followed_within_https(feed):
    """A few times."""
    assert fetch(feed.source, f"{feed.url}/go/SELF/list", "").data == b"evil.example\n"
    with pytest.raises(ValueError, match="redirects"):
        fetch(feed.source, f"{feed.url}/loop", "")


@pytest.mark.parametrize("target", ["http://127.0.0.1/x", "file:///etc/passwd", "ftp://x/y", ""])
def test_a_redirect_elsewhere_is_refused(target, feed):
    """Not to plain HTTP, and not to the collector's own disk."""
    with pytest.raises((ValueError, OSError)):
        fetch(feed.source, f"{feed.url}/go/{target}", "")


def test_what_is_not_the_feed_is_told(feed, tmp_path):
    """Another answer, one that ends early, an unknown authority, a name of nobody's, another scheme."""
    for path, said in {"/nothing": "404", "/long": "early"}.items():
        with pytest.raises(OSError, match=said):
            fetch(feed.source, feed.url + path, "")
    with pytest.raises(OSError, match="certificate"):
        fetch(Source(name="a", place=feed.url), f"{feed.url}/list", "")
    with pytest.raises(ValueError, match="ftp"):
        fetch(feed.source, "ftp://x/y", "")


def test_a_file_is_read_when_it_changed(tmp_path, monkeypatch):
    """And never more of it than the bound."""
    path = tmp_path / "list"
    path.write_text("a.example\n")
    source = Source(name="a", place=str(path))
    first = fetch(source, source.place, "")
    assert first.data == b"a.example\n"
    assert fetch(source, source.place, first.mark).data is None
    path.write_text("b.example\nc.example\n")
    assert fetch(source, source.place, first.mark).data == b"b.example\nc.example\n"
    monkeypatch.setattr(fetching, "MAX_SOURCE_BYTES", 5)
    with pytest.raises(ValueError, match="longer than 5 bytes"):
        fetch(source, source.place, "")
    with pytest.raises(OSError):
        fetch(source, str(tmp_path / "none"), "")


def test_an_object_of_s3_is_read_when_it_changed(monkeypatch):
    """Against moto: the ETag is its mark, and what is not there is an OSError."""
    moto = pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="lists", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        client.put_object(Bucket="lists", Key="a/b.txt", Body=b"evil.example\n")
        source = Source(name="a", place="s3://lists/a/b.txt")
        first = fetch(source, source.place, "")
        assert first.data == b"evil.example\n"
        assert fetch(source, source.place, first.mark).data is None
        with pytest.raises(OSError, match="S3"):
            fetch(source, "s3://lists/none", "")
