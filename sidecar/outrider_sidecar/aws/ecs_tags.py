"""Tags of a cluster and of its tasks, asked of the ECS API: `DescribeClusters` and `DescribeTasks` with their tags.

Needs the permissions ecs:DescribeClusters and ecs:DescribeTasks, and a way to the API (a VPC endpoint for ECS, or the
internet). Source: Amazon ECS API Reference.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from outrider_sidecar.asking import ask
from outrider_sidecar.aws.sigv4 import Credentials, Request, sign
from outrider_wire.errors import Unavailable
from outrider_wire.text import clean_text

TIMEOUT_S: Final = 5.0
MAX_TASKS: Final = 100
"""Most tasks that one DescribeTasks may ask for."""
MAX_TAGS: Final = 50
"""Most tags a resource of AWS has."""
MAX_BYTES: Final = 8 * 1024 * 1024
WHAT: Final = "the ECS API"
REMEDY: Final = "allow ecs:DescribeClusters and ecs:DescribeTasks to the role of the guard, and let it reach the API"
_TARGET: Final = "AmazonEC2ContainerServiceV20141113."
_SUFFIXES: Final = {"aws-cn": "amazonaws.com.cn"}

Tags = Mapping[str, str]


class EcsTags:
    """Asks one region's API. `endpoint` stands in for the region's own. Every method raises Unavailable."""

    def __init__(
        self,
        region: str,
        credentials: Callable[[], Credentials],
        *,
        partition: str = "aws",
        endpoint: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._region = region
        self._credentials = credentials
        self._url = endpoint or f"https://ecs.{region}.{_SUFFIXES.get(partition, 'amazonaws.com')}/"
        self._clock = clock

    def of_cluster(self, cluster: str) -> Tags:
        """The tags of a cluster, by its name or ARN."""
        document = self._ask("DescribeClusters", {"clusters": [cluster], "include": ["TAGS"]})
        found = [c for c in _objects(document, "clusters") if cluster in (c.get("clusterArn"), c.get("clusterName"))]
        if not found:
            raise Unavailable(f"{WHAT} knows no cluster {cluster}", REMEDY)
        return read_tags(found[0])

    def of_tasks(self, cluster: str, arns: Sequence[str]) -> dict[str, Tags]:
        """The tags of tasks by ARN; one that ended long ago is not among them."""
        found: dict[str, Tags] = {}
        for start in range(0, len(arns), MAX_TASKS):
            wanted = list(arns[start : start + MAX_TASKS])
            document = self._ask("DescribeTasks", {"cluster": cluster, "tasks": wanted, "include": ["TAGS"]})
            found |= {t["taskArn"]: read_tags(t) for t in _objects(document, "tasks") if t.get("taskArn") in wanted}
        return found

    def _ask(self, operation: str, question: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(question).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": _TARGET + operation}
        request = Request(self._url, "POST", headers, body)
        signed = sign(request, self._credentials(), region=self._region, service="ecs", at_s=self._clock())
        answer = ask(
            self._url, what=WHAT, method="POST", headers=signed, body=body, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES
        )
        try:
            document = parse_answer(answer.body)
        except ValueError as error:
            raise Unavailable(f"{WHAT} answered {answer.status} to {operation}: {error}", REMEDY) from error
        if answer.status != 200:
            reason = _text(document.get("__type")) + " " + _text(document.get("message", document.get("Message")))
            raise Unavailable(f"{WHAT} refused {operation} with {answer.status}: {reason.strip()}", REMEDY)
        return document


def parse_answer(raw: bytes) -> dict[str, Any]:
    """An answer of the API. Raises ValueError for what is no JSON object."""
    try:
        document = json.loads(raw.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def read_tags(document: Mapping[str, Any]) -> Tags:
    """The `tags` of a cluster or task: a list of objects with `key` and `value`."""
    pairs = [(_text(tag.get("key")), _text(tag.get("value"))) for tag in _objects(document, "tags")[:MAX_TAGS]]
    return {key: value for key, value in pairs if key}


def _objects(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = document.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return clean_text(value.encode("utf-8", "replace"), limit=1024) if isinstance(value, str) else ""
