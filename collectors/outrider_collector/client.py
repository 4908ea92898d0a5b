"""A reader's client of the collector: findings and agents, over HTTP with the token."""

import http.client
import ssl
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from outrider_collector.views import AgentView
from outrider_wire.enrolment import Refusal
from outrider_wire.errors import ConfigError, DeliveryError, WireError
from outrider_wire.findings import Finding

MAX_ANSWER_BYTES = 64 << 20

TIMEOUT_S = 10.0

T = TypeVar("T")


class FoundPage(Struct, frozen=True):
    """Findings, oldest first; `cursor` as `after` asks for what comes behind them."""

    findings: list[Finding]
    cursor: int


class Client:
    """Asks the collector at `url`. Raises ConfigError when that is no address."""

    def __init__(self, url: str, token: str, *, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the collector's address {url!r} is not of the form https://host:port")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        self._token, self._timeout_s = token, timeout_s

    def findings(
        self, *, limit: int = 100, since: str = "", type_prefix: str = "", after: int | None = None
    ) -> FoundPage:
        """The newest findings, or those after a cursor. `since` is RFC 3339. Raises WireError or DeliveryError."""
        asked = {"limit": limit, "since": since, "type": type_prefix, "after": after}
        return self._get("/v1/findings", {k: v for k, v in asked.items() if v not in ("", None)}, FoundPage)

    def agents(self, *, limit: int = 100) -> list[AgentView]:
        """The agents, the last heard first. Raises WireError or DeliveryError."""
        return self._get("/v1/agents", {"limit": limit}, list[AgentView])

    def _get(self, path: str, query: dict[str, Any], kind: type[T]) -> T:
        try:
            status, said = self._exchange(f"{self._path}{path}?{urlencode(query)}")
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"the collector cannot be reached: {error or type(error).__name__}") from error
        try:
            if status != 200:
                refusal = msgspec.json.decode(said, type=Refusal)
                raise WireError(refusal.code, refusal.detail)
            return msgspec.json.decode(said, type=kind)
        except msgspec.DecodeError as error:
            raise DeliveryError(f"an answer {status} that is not the collector's") from error

    def _exchange(self, target: str) -> tuple[int, bytes]:
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        try:
            connection.request("GET", target, headers={"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()
