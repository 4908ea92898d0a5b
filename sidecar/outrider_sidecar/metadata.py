"""Asking the ECS task metadata endpoint, with short patience: it may be late, and nothing may wait for it."""

import http.client
import json
from urllib.parse import urlsplit

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts, parse_container, parse_task
from outrider_wire.errors import Unavailable

TIMEOUT_S = 1.0
MAX_ANSWER_BYTES = 1024 * 1024


def fetch_task(base: str) -> TaskFacts:
    """The whole task. Raises Unavailable."""
    try:
        return parse_task(_get(base + "/task"))
    except ValueError as error:
        raise Unavailable(f"task metadata endpoint {base}/task: {error}") from error


def fetch_self(base: str) -> ContainerFacts:
    """The container that asks. Raises Unavailable."""

    try:
        document = json.loads(_get(base))
        if not isinstance(document, dict):
            raise ValueError("not an object")
        return parse_container(document)
    except ValueError as error:
        raise Unavailable(f"task metadata endpoint {base}: {error}") from error


def _get(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise Unavailable(f"task metadata endpoint {url!r} is no http address", "ECS sets it; leave it alone")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Unavailable(f"task metadata endpoint {url} answered {answer.status}")
        return answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"task metadata endpoint {url}: {error}") from error
    finally:
        connection.close()
