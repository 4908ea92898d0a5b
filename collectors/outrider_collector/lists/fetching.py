"""Fetching: the bytes of a source, bounded in length and time, and only when they have changed.

A file is told by its inode, size and times; an address by ETag or Last-Modified (a 304 then brings nothing); an S3
object by its ETag. Redirects are followed a few times, from https to https alone: what comes over plain HTTP is what
somebody on the way wants it to be, and a `file:` is the collector's own disk.
"""

import http.client
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from outrider_collector.lists.sources import Source

MAX_SOURCE_BYTES: Final = 256 << 20
TIMEOUT_S: Final = 20.0
"""Longest wait for one step of a request."""
WHOLE_TIMEOUT_S: Final = 120.0
"""Longest that one fetch may take."""
MAX_REDIRECTS: Final = 4
CHUNK_BYTES: Final = 256 << 10
USER_AGENT: Final = "outrider-collector"

_REDIRECTS: Final = (301, 302, 303, 307, 308)


class Fetched(Struct, frozen=True):
    """What came. `data` is None where nothing changed since `mark`, which says what it was then."""

    data: bytes | None
    mark: str


Fetch = Callable[[Source, str, str], Fetched]
"""Called with a source, a place in its scheme, and the mark it had. Raises OSError, ValueError."""


def fetch(source: Source, place: str, mark: str) -> Fetched:
    """Bring what lies at a place unless it still has the mark. Raises OSError or ValueError, with the reason."""
    match urlsplit(place).scheme if "://" in place else "file":
        case "https":
            return _fetch_https(source, place, mark)
        case "s3":
            return _fetch_s3(place, mark)
        case "file":
            return _fetch_file(Path(place), mark)
        case scheme:
            raise ValueError(f"no list is fetched by {scheme}://")


def _fetch_file(path: Path, mark: str) -> Fetched:
    status = path.stat()
    now = f"{status.st_ino}/{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"
    if now == mark:
        return Fetched(None, mark)
    with path.open("rb") as file:
        return Fetched(_bounded(file.read(MAX_SOURCE_BYTES + 1)), now)


def _fetch_https(source: Source, url: str, mark: str) -> Fetched:
    context = ssl.create_default_context(cafile=source.ca_file or None)
    deadline_s = time.monotonic() + WHOLE_TIMEOUT_S
    first_host = urlsplit(url).netloc
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"a redirect to {parts.scheme or 'nowhere'}:, and only https is followed")
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_S, context=context)
        try:
            headers = _headers(source, mark, of_first=parts.netloc == first_host)
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
            answer = connection.getresponse()
            if answer.status not in _REDIRECTS:
                return _read_answer(answer, mark, deadline_s)
            url = urljoin(url, answer.getheader("Location") or "")
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP: {error or type(error).__name__}") from error
        finally:
            connection.close()
    raise ValueError(f"more than {MAX_REDIRECTS} redirects")


def _headers(source: Source, mark: str, *, of_first: bool) -> dict[str, str]:
    """What is asked for. A key goes to the host it is for, not to whom that one sends us on."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    kind, _, value = mark.partition(" ")
    if value:
        headers["If-None-Match" if kind == "etag" else "If-Modified-Since"] = value
    if source.header_file and of_first:
        with open(source.header_file, encoding="utf-8") as file:
            name, colon, secret = file.readline().strip().partition(":")
        if not colon:
            raise ValueError("the header file is not of the form `Name: value`")
        headers[name.strip()] = secret.strip()
    return headers


def _read_answer(answer: http.client.HTTPResponse, mark: str, deadline_s: float) -> Fetched:
    if answer.status == 304 and mark:
        return Fetched(None, mark)
    if answer.status != 200:
        raise OSError(f"the answer is {answer.status}")
    if answer.getheader("Content-Encoding", "identity") != "identity":
        raise ValueError("the answer is compressed, which was not asked for")
    parts, size = [], 0
    while part := answer.read(CHUNK_BYTES):
        parts.append(part)
        size += len(part)
        if size > MAX_SOURCE_BYTES:
            raise ValueError(f"longer than {MAX_SOURCE_BYTES} bytes")
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"it did not come within {WHOLE_TIMEOUT_S:g} s")
    if answer.length:
        raise OSError(f"the answer ended {answer.length} bytes early")
    return Fetched(b"".join(parts), _mark_of(answer))


def _mark_of(answer: http.client.HTTPResponse) -> str:
    etag, changed = answer.getheader("ETag"), answer.getheader("Last-Modified")
    return f"etag {etag}" if etag else f"changed {changed}" if changed else ""


def _fetch_s3(place: str, mark: str) -> Fetched:
    import boto3  # only where a list is kept there
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = place.removeprefix("s3://").partition("/")
    asked: dict[str, Any] = {"Bucket": bucket, "Key": key} | ({"IfNoneMatch": mark} if mark else {})
    try:
        answer = boto3.client("s3").get_object(**asked)
        with answer["Body"] as body:
            return Fetched(_bounded(body.read(MAX_SOURCE_BYTES + 1)), str(answer.get("ETag", "")))
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304:
            return Fetched(None, mark)
        raise OSError(f"S3: {error}") from error
    except BotoCoreError as error:
        raise OSError(f"S3: {error}") from error


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_SOURCE_BYTES:
        raise ValueError(f"longer than {MAX_SOURCE_BYTES} bytes")
    return data
