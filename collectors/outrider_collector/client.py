"""A reader's client of the collector: findings, agents and what is decided, over HTTP with a token."""

import http.client
import ssl
from collections.abc import Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from outrider_collector.api.agents import AgentsPage
from outrider_collector.api.audited import AuditPage
from outrider_collector.api.findings import FindingDetail, FindingsPage, NoteView, ToldPage
from outrider_collector.api.health import Readiness
from outrider_collector.api.suppressions import Done, SuppressionList, SuppressionView
from outrider_collector.api.triage import Changed
from outrider_collector.export.operations import DeadList, ExportList
from outrider_collector.lists.entry_operations import EntryList, EntryPage, NewEntries, OldEntries
from outrider_collector.lists.publishing import ListsState
from outrider_collector.store.suppressing import Condition
from outrider_wire.enrolment import Refusal
from outrider_wire.errors import ConfigError, DeliveryError, WireError

MAX_ANSWER_BYTES: Final = 64 << 20

TIMEOUT_S: Final = 30.0

T = TypeVar("T")


class Client:
    """Asks the collector at `url`. Raises ConfigError when that is no address.

    Every question raises WireError where it is refused, and DeliveryError where there is no answer.
    """

    def __init__(self, url: str, token: str, *, ca_file: str = "", timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the collector's address {url!r} is not of the form https://host:port")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_file or None) if parts.scheme == "https" else None
        self._token, self._timeout_s = token, timeout_s

    def findings(self, *, limit: int = 100, cursor: str = "", **filters: str | Sequence[str]) -> FindingsPage:
        """A page of findings, the latest first; `filters` are those of the API, such as `severity` and `text`."""
        return self._ask("GET", "/v1/findings", FindingsPage, query={"limit": limit, "cursor": cursor, **filters})

    def finding(self, name: str) -> FindingDetail:
        """One finding."""
        return self._ask("GET", f"/v1/findings/{quote(name, safe='')}", FindingDetail)

    def told(self, *, limit: int = 100, since: str = "", type_prefix: str = "", after: str = "") -> ToldPage:
        """What agents told, one by one: the newest, or what came after a cursor. `since` is RFC 3339."""
        query = {"limit": limit, "since": since, "type": type_prefix, "after": after}
        return self._ask("GET", "/v1/occurrences", ToldPage, query=query)

    def agents(self, *, limit: int = 100, cursor: str = "", **filters: str) -> AgentsPage:
        """A page of agents, the last heard first."""
        return self._ask("GET", "/v1/agents", AgentsPage, query={"limit": limit, "cursor": cursor, **filters})

    def archive(self, ids: Sequence[str], *, why: str = "") -> Changed:
        """Take findings as dealt with."""
        return self._ask("POST", "/v1/triage/archive", Changed, body={"ids": [*ids], "why": why})

    def reopen(self, ids: Sequence[str]) -> Changed:
        """Make findings new again."""
        return self._ask("POST", "/v1/triage/reopen", Changed, body={"ids": [*ids]})

    def assign(self, ids: Sequence[str], to: str) -> Changed:
        """Make findings somebody's, or nobody's."""
        return self._ask("POST", "/v1/triage/assign", Changed, body={"ids": [*ids], "to": to})

    def note(self, name: str, said: str) -> NoteView:
        """Say something of a finding."""
        return self._ask("POST", f"/v1/findings/{quote(name, safe='')}/notes", NoteView, body={"said": said})

    def suppress(self, conditions: Sequence[Condition], *, why: str, expires_at: str = "") -> SuppressionView:
        """Make a suppression rule."""
        body = {"conditions": [*conditions], "why": why} | ({"expires_at": expires_at} if expires_at else {})
        return self._ask("POST", "/v1/suppressions", SuppressionView, body=body)

    def suppressions(self) -> SuppressionList:
        """The suppression rules."""
        return self._ask("GET", "/v1/suppressions", SuppressionList)

    def apply(self, number: int) -> Done:
        """Hold a suppression rule against what is there already."""
        return self._ask("POST", f"/v1/suppressions/{number}/apply", Done)

    def unsuppress(self, number: int) -> SuppressionView:
        """Take a suppression rule away."""
        return self._ask("DELETE", f"/v1/suppressions/{number}", SuppressionView)

    def audit(self, *, limit: int = 100, cursor: str = "") -> AuditPage:
        """Who changed what, the latest first."""
        return self._ask("GET", "/v1/audit", AuditPage, query={"limit": limit, "cursor": cursor})

    def exports(self) -> ExportList:
        """How exports stand."""
        return self._ask("GET", "/v1/exports", ExportList)

    def dead(self, export: str, *, limit: int = 100) -> DeadList:
        """What an export gave up."""
        return self._ask("GET", f"/v1/exports/{quote(export, safe='')}/dead", DeadList, query={"limit": limit})

    def retry(self, export: str, findings: Sequence[str] = ()) -> Done:
        """Have what it gave up tried again: these, or all."""
        path = f"/v1/exports/{quote(export, safe='')}/retry"
        return self._ask("POST", path, Done, body={"findings": [*findings]})

    def lists(self) -> ListsState:
        """Which threat lists are in force, and how their sources stand."""
        return self._ask("GET", "/v1/lists", ListsState)

    def list_entries(self, name: str = "", *, limit: int = 1000, cursor: str = "") -> EntryPage:
        """A page of what was listed by hand, on one list or on all."""
        return self._ask("GET", "/v1/list-entries", EntryPage, query={"list": name, "limit": limit, "cursor": cursor})

    def add_to_list(self, new: NewEntries) -> EntryList:
        """List by hand."""
        body = {name: value for name, value in msgspec.structs.asdict(new).items() if value not in ("", False)}
        return self._ask("POST", "/v1/list-entries", EntryList, body=body)

    def remove_from_list(self, old: OldEntries) -> EntryList:
        """Take off a list by hand."""
        return self._ask("POST", "/v1/list-entries/remove", EntryList, body=old)

    def readiness(self) -> Readiness:
        """Whether batches should be sent there, and why not."""
        return self._ask("GET", "/readyz", Readiness, good=(200, 503))

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        good: tuple[int, ...] = (200, 201),
    ) -> T:
        given = {name: value for name, value in (query or {}).items() if value not in ("", None, [])}
        target = f"{self._path}{path}{'?' if given else ''}{urlencode(given, doseq=True)}"
        try:
            status, said = self._exchange(method, target, None if body is None else msgspec.json.encode(body))
        except (OSError, http.client.HTTPException) as error:
            raise DeliveryError(f"the collector cannot be reached: {error or type(error).__name__}") from error
        try:
            if status not in good:
                refusal = msgspec.json.decode(said, type=Refusal)
                raise WireError(refusal.code, refusal.detail)
            return msgspec.json.decode(said, type=kind)
        except msgspec.DecodeError as error:
            raise DeliveryError(f"an answer {status} that is not the collector's") from error

    def _exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connect()
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER_BYTES)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._context)
