"""AWS Security Hub, by BatchImportFindings: imported again under the same Id, a finding is updated.

With the default product a finding's account must be the caller's: so it is, whatever account the task is of; the task's
own stands in Resources. Limits: 100 findings and 6 MB in a request, 240 KB a finding.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from outrider_collector.export.asff import Asff, asff_bytes, to_asff
from outrider_collector.export.aws import make_client, may_succeed_later, translated
from outrider_collector.export.configuration import SecurityHub
from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import DeliveryError

MAX_ITEMS: Final = 100
MAX_REQUEST_BYTES: Final = 6_000_000
_OVERHEAD_BYTES: Final = 64


class SecurityHubTarget:
    """One region's Security Hub."""

    max_items = MAX_ITEMS

    def __init__(self, export: SecurityHub, *, wall: Callable[[], int] = time.time_ns) -> None:
        self._export, self._wall = export, wall
        self._client: Any = None
        self._account = export.account
        self._partition = "aws"

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        client = self._connected()
        batch = pack([self._asff(each) for each in found])
        with translated():
            answer = client.batch_import_findings(Findings=batch)
        return read_answer(batch, answer)

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _asff(self, found: StoredFinding) -> Asff:
        region = self._client.meta.region_name
        return to_asff(found, account=self._account, region=region, partition=self._partition, now_ns=self._wall())

    def _connected(self) -> Any:
        if self._client is None:
            client = make_client("securityhub", region=self._export.region, endpoint=self._export.endpoint)
            self._partition = client.meta.partition
            if not self._account:
                self._account = self._ask_account(client.meta.region_name)
            self._client = client
        return self._client

    def _ask_account(self, region: str) -> str:
        sts = make_client("sts", region=region, endpoint=self._export.endpoint)
        with translated():
            account = sts.get_caller_identity()["Account"]
        sts.close()
        return str(account)


def pack(findings: Sequence[Asff]) -> list[Asff]:
    """The first of them, as many as one request takes; at least one."""
    taken: list[Asff] = []
    total = _OVERHEAD_BYTES
    for each in findings[:MAX_ITEMS]:
        total += asff_bytes(each) + 2
        if taken and total > MAX_REQUEST_BYTES:
            break
        taken.append(each)
    return taken


def read_answer(batch: Sequence[Asff], answer: dict[str, Any]) -> list[Outcome]:
    """What became of each, by its Id. Raises DeliveryError where the answer does not say."""
    failed = {each.get("Id"): each for each in answer.get("FailedFindings") or []}
    counts = answer.get("SuccessCount"), answer.get("FailedCount", 0)
    if counts != (len(batch) - len(failed), len(failed)):  # such as a page of some proxy
        raise DeliveryError("the answer does not say what became of each finding")
    return [_outcome(failed.get(each["Id"])) for each in batch]


def _outcome(failure: dict[str, Any] | None) -> Outcome:
    if failure is None:
        return SENT
    code = str(failure.get("ErrorCode", ""))
    reason = f"{code}: {failure.get('ErrorMessage', '')}"[:500]
    return Outcome("later" if may_succeed_later(code) else "refused", reason)
