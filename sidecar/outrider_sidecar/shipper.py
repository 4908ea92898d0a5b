"""The shipper: seals what the journal holds and brings it to the collector, in order, for as long as it takes.

It is one thread, and the only one that waits for the network. A finding is sealed and sent at once; the rest
each second; an empty batch (the heartbeat) when the promised interval is nearly over. While the collector does
not answer, records stay in segments for longer, so that an outage leaves few large batches, and no heartbeats
pile up.
"""

import random
import threading
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from outrider_sidecar.backoff import Backoff
from outrider_sidecar.journal import Journal, ShelvedBatch
from outrider_sidecar.transport import Transport
from outrider_wire.batch import BatchFacts
from outrider_wire.enrolment import EnrolAnswer, EnrolRequest, Receipt
from outrider_wire.errors import DeliveryError, WireError

SEAL_EVERY_S = 1.0

SEAL_EVERY_IN_OUTAGE_S = 30.0

REQUEST_TIMEOUT_S = 5.0
"""Longest wait for the collector in one step of a request."""

REFUSED_ENROLMENT_WAIT_S = 30.0
"""After the collector said no (a wrong token, a second enrolment) it is asked this seldom."""

PATIENCE = 8
"""Times one batch may be answered with a server's error before the one behind it is tried first."""

UNKNOWN_AGENT = "unknown-agent"

WAIT = frozenset({"quarantined", "bad-token", "second-enrolment"})
"""Refusals that say nothing of the batch itself: the operator may mend them."""

Report = Callable[[str, str], None]
"""Called with a short stable word and a sentence, from the shipper's thread."""


def _say_nothing(word: str, sentence: str) -> None:
    del word, sentence


def ignore_answer(answer: EnrolAnswer | Receipt) -> None:
    """For whom the collector's answers say nothing more."""
    del answer


class ShipperStatus(Struct):
    """How delivery goes. `last_error` is empty while it goes well."""

    enrolled: bool = False
    delivered: int = 0
    failures: int = 0
    parked: int = 0
    last_error: str = ""
    delivered_at_s: float = 0.0


class Shipper:
    """Brings a journal to a collector.

    `facts` tells what each batch says of the engine, `request` makes the enrolment, `vouch` puts into a predecessor's
    what this sidecar shows for itself (all are called from the shipper's thread; the two last may raise DeliveryError).
    `enrolled` and `heard` are given the collector's answers, there too. `clock_s` is monotonic.
    """

    def __init__(
        self,
        journal: Journal,
        transport: Transport,
        *,
        facts: Callable[[], BatchFacts],
        request: Callable[[], EnrolRequest],
        vouch: Callable[[EnrolRequest], EnrolRequest] | None = None,
        report: Report = _say_nothing,
        enrolled: Callable[[EnrolAnswer], None] = ignore_answer,
        heard: Callable[[Receipt], None] = ignore_answer,
        clock_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.status = ShipperStatus()
        self._journal, self._transport = journal, transport
        self._facts, self._request, self._report, self._clock_s = facts, request, report, clock_s
        self._show = vouch or (lambda kept: replace(kept, token=request().token))
        self._enrolled, self._heard = enrolled, heard
        self._backoff = Backoff(jitter)
        self._turns = threading.Lock()
        self._seal_at_s = self._send_at_s = clock_s()
        self._heartbeat_at_s = clock_s()
        self._vouched: set[str] = set()
        self._refused_times = 0
        self._stopping = False

    def run(self, stop: threading.Event) -> None:
        """Seal and ship until `stop`; then return without sending more (see `flush`)."""
        while not stop.is_set() and not self._stopping:
            self._journal.wake.wait(self._wait_s())
            with self._turns:
                if not stop.is_set() and not self._stopping:
                    self.turn()

    def flush(self, deadline_s: float) -> bool:
        """Say good-bye and send everything; True when the collector has it all within `deadline_s` seconds.

        May be called from another thread than `run`'s, which ends then.
        """
        end_s = self._clock_s() + deadline_s
        self._stopping = True
        self._journal.wake.set()
        if not self._turns.acquire(timeout=max(deadline_s, 0.0)):
            return False
        try:
            self._seal_all(final=True)
            while self._journal.head() is not None and self._clock_s() < end_s:
                self._send_at_s = self._clock_s()
                if not self._deliver(end_s):
                    time.sleep(min(0.1, max(end_s - self._clock_s(), 0.0)))
            return self._journal.head() is None
        finally:
            self._turns.release()
            self._transport.close()

    def turn(self) -> None:
        """Do what is due now: seal, then send."""
        self._journal.wake.clear()
        self._seal_due()
        self._deliver(float("inf"))

    def _wait_s(self) -> float:
        now_s = self._clock_s()
        due_s = min(self._seal_at_s, self._heartbeat_at_s)
        if self._journal.head() is not None:
            due_s = min(due_s, self._send_at_s)
        return min(max(due_s - now_s, 0.005), SEAL_EVERY_S)

    def _seal_due(self) -> None:
        now_s = self._clock_s()
        if self._journal.urgent or now_s >= self._seal_at_s:
            self._seal_all()
            self._seal_at_s = now_s + (SEAL_EVERY_IN_OUTAGE_S if self._backoff.failing else SEAL_EVERY_S)
        if now_s >= self._heartbeat_at_s:
            facts = self._facts()
            if self._journal.head() is None:
                self._journal.seal(facts, force=True)
            self._heartbeat_at_s = now_s + facts.interval_s * 0.8

    def _seal_all(self, *, final: bool = False) -> None:
        facts = self._facts()
        while self._journal.seal(facts) is not None:
            self._heartbeat_at_s = self._clock_s() + facts.interval_s * 0.8
            if not self._journal.urgent:
                break
        if final:
            self._journal.seal(facts, final=True)

    def _deliver(self, end_s: float) -> bool:
        """Send what is pending, oldest first, until done, refused or out of time; True when nothing failed."""
        while (batch := self._journal.head()) is not None:
            now_s = self._clock_s()
            if now_s < self._send_at_s or now_s >= end_s:
                return False
            try:
                if not self.status.enrolled:
                    self._enrol(end_s)
                self._send(batch, end_s)
            except DeliveryError as error:
                self._failed(str(error), at_least_s=error.retry_after_s or 0.0)
                self._consider_next(error, end_s)
                return False
            except WireError as error:
                if not self._refused(batch, error, end_s):
                    return False
            if self._journal.urgent and not self._stopping:
                self._seal_all()
        return True

    def _enrol(self, end_s: float) -> None:
        request = self._request()
        self._journal.keep_enrolment(request)
        self._enrolled(self._transport.enrol(request, timeout_s=self._timeout_s(end_s)))
        self.status.enrolled = True

    def _send(self, batch: ShelvedBatch, end_s: float) -> None:
        try:
            data = batch.read()
        except OSError as error:
            self._report("batch-unreadable", f"batch {batch.sequence} of {batch.agent}: {error}")
            self._journal.park(batch)
            return
        receipt = self._transport.send(data, timeout_s=self._timeout_s(end_s))
        self._journal.acknowledge(batch)
        self._heard(receipt)
        self._backoff.succeeded()
        self._refused_times = 0
        self.status.delivered += 1
        self.status.delivered_at_s = self._clock_s()
        self.status.last_error = ""

    def _failed(self, sentence: str, *, at_least_s: float = 0.0) -> None:
        if sentence != self.status.last_error:
            self._report("delivery-failed", sentence)
        self.status.failures += 1
        self.status.last_error = sentence
        self._send_at_s = self._clock_s() + self._backoff.failed(at_least_s=at_least_s)

    def _refused(self, batch: ShelvedBatch, error: WireError, end_s: float) -> bool:
        """The collector said no: True when there is more to try at once."""
        mine = batch.agent == self._journal.agent
        if not self.status.enrolled or (mine and error.code in WAIT):
            self._failed(str(error), at_least_s=REFUSED_ENROLMENT_WAIT_S)
            return False
        if mine and error.code == UNKNOWN_AGENT:
            self.status.enrolled = False
            self._failed(str(error))
            return False
        try:
            helped = error.code == UNKNOWN_AGENT and self._vouch(batch.agent, end_s)
        except DeliveryError as failed:
            self._failed(str(failed), at_least_s=failed.retry_after_s or 0.0)
            return False
        if not helped:
            self._park(batch, str(error))
        return True

    def _vouch(self, agent: str, end_s: float) -> bool:
        """Enrol a predecessor that died before it was heard, with the request it left; False when that is no use.

        Raises DeliveryError: not now.
        """
        request = None if agent in self._vouched else self._journal.kept_enrolment(agent)
        if request is None:
            return False
        self._vouched.add(agent)
        try:
            self._transport.enrol(self._show(request), timeout_s=self._timeout_s(end_s))
        except WireError:
            return False
        except DeliveryError:
            self._vouched.discard(agent)
            raise
        return True

    def _consider_next(self, error: DeliveryError, end_s: float) -> None:
        """A batch that makes the collector stumble again and again must not hold up those behind it."""
        self._refused_times = self._refused_times + 1 if error.refused and error.retry_after_s is None else 0
        if self._refused_times < PATIENCE:
            return
        self._refused_times = 0
        stuck, *others = self._journal.pending()[:2]
        try:
            if others:
                self._transport.send(others[0].read(), timeout_s=self._timeout_s(end_s))
                self._journal.acknowledge(others[0])
                self._park(stuck, f"refused {PATIENCE} times while the next was taken: {error}")
        except (DeliveryError, WireError, OSError):
            return  # nobody gets through: it is not the batch

    def _park(self, batch: ShelvedBatch, why: str) -> None:
        self._journal.park(batch)
        self.status.parked += 1
        self._report("batch-refused", f"batch {batch.sequence} of {batch.agent} was put aside: {why}")

    def _timeout_s(self, end_s: float) -> float:
        return min(REQUEST_TIMEOUT_S, max(end_s - self._clock_s(), 0.05))
