"""Shipping: what a batch says of its sender, and the thread that brings batches to the collector."""

import threading
import time
from typing import TYPE_CHECKING, Any

from outrider_sidecar import SOFTWARE
from outrider_sidecar.enrolling import Enrolling
from outrider_sidecar.journal import Journal
from outrider_sidecar.lists.updates import ListUpdates
from outrider_sidecar.log import say
from outrider_sidecar.sensors import Capability
from outrider_sidecar.settings import Settings
from outrider_sidecar.shipper import Shipper, ignore_answer
from outrider_sidecar.transport import HttpTransport
from outrider_wire.batch import BatchFacts, SenseView
from outrider_wire.enrolment import EnrolRequest, make_request
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard


class Shipping:
    """Owns the shipper. Without a collector's address nothing is sent and the journal keeps what fits."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        key: SigningKey,
        resume_key: SigningKey,
        capabilities: tuple[Capability, ...],
        *,
        lists: ListUpdates | None = None,
    ) -> None:
        self._settings = settings
        self._key = key
        self._resume_key = resume_key
        self._senses = tuple(SenseView(c.sense, c.sensor, c.available, c.reason) for c in capabilities)
        self._journal = journal
        self._task: TaskView | None = None
        self._task_wait_s = time.monotonic() + (2.0 if settings.metadata_uri else 0.0)
        self._unguarded_for_ms = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._shipper: Shipper | None = None
        if settings.collector_url:
            transport = HttpTransport(settings.collector_url, ca_file=settings.collector_ca_file)
            self._enrolling = Enrolling(settings)
            self._shipper = Shipper(
                journal,
                transport,
                facts=self._facts,
                request=self._request,
                vouch=self._enrolling.show,
                report=_report,
                enrolled=lists.pin if lists is not None else ignore_answer,
                heard=lists.hear if lists is not None else ignore_answer,
            )

    def start(self) -> None:
        """Begin to ship."""
        if self._shipper is not None:
            self._thread = threading.Thread(target=self._run, name="outrider-ship", daemon=True)
            self._thread.start()

    def chore(self, guard: "Guard") -> None:
        """Take over what the engine has learnt."""
        self._task = guard.containers.task
        self._unguarded_for_ms = guard.unguarded_for_ms

    def flush(self, deadline_s: float) -> None:
        """Say good-bye and send what is left."""
        if self._shipper is not None and not self._shipper.flush(deadline_s):
            say("the collector has not everything yet; the journal keeps it")
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """How delivery goes, for health."""
        stats = self._journal.stats()
        facts: dict[str, Any] = {"journal_bytes": stats.disk_bytes, "journal_faults": stats.faults}
        if self._shipper is not None:
            status = self._shipper.status
            facts |= {
                "enrolled": status.enrolled,
                "delivered": status.delivered,
                "delivery_error": status.last_error,
            }
        return facts

    def _run(self) -> None:
        assert self._shipper is not None
        while self._task is None and time.monotonic() < self._task_wait_s and not self._stop.wait(0.02):
            pass  # an enrolment names the task: give the metadata endpoint a moment
        self._shipper.run(self._stop)

    def _facts(self) -> BatchFacts:
        return BatchFacts(
            interval_s=self._settings.heartbeat_s,
            task=self._task,
            capabilities=self._senses,
            unguarded_for_ms=self._unguarded_for_ms,
            software=SOFTWARE,
        )

    def _request(self) -> EnrolRequest:
        bare = make_request(self._key, self._resume_key, token="", task=self._task, made_at_ns=time.time_ns())
        return self._enrolling.show(bare)


def _report(word: str, sentence: str) -> None:
    say(sentence, what=word)
