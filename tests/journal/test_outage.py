"""An hour without a collector, in simulated time: how often it is asked, who waits how long, and what arrives after."""

import heapq
import random
import threading
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.shipper import Shipper
from outrider_sidecar.transport import MAX_RETRY_AFTER_S, read_retry_after
from outrider_wire.batch import FIRST_PREVIOUS, Batch, BatchFacts, peek_header, read_events, read_findings
from outrider_wire.enrolment import EnrolAnswer, EnrolRequest, Receipt, make_request
from outrider_wire.errors import DeliveryError
from outrider_wire.events import Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

HOUR_S = 3600
AGENTS = 1000
NOW_S = 1_800_000_000.0
FACTS = BatchFacts(interval_s=10.0)


class Collector:
    """A collector in memory that is away until a time; it notes when it was asked, and what it took."""

    def __init__(self, error: DeliveryError, back_at_s: float) -> None:
        self.error, self.back_at_s = error, back_at_s
        self.now_s = 0.0
        self.asked_at_s: list[float] = []
        self.taken: list[bytes] = []

    def enrol(self, request: EnrolRequest, *, timeout_s: float) -> EnrolAnswer:
        """Take any key, once back."""
        self._ask()
        return EnrolAnswer("", True, "enrolled", 0)

    def send(self, batch: bytes, *, timeout_s: float) -> Receipt:
        """Take any batch, once back."""
        self._ask()
        self.taken.append(batch)
        header, _, _ = peek_header(batch)
        return Receipt(header.agent, header.sequence)

    def close(self) -> None:
        """Nothing is open."""

    def _ask(self) -> None:
        self.asked_at_s.append(self.now_s)
        if self.now_s < self.back_at_s:
            raise self.error


def live_through(
    collector: Collector, opener: Any, key: SigningKey, journal: Journal, each_second: Callable[[int], None]
) -> None:
    """A sidecar's hour and the two minutes after it, a turn each second."""
    resume = load_resume_key(opener.root)
    shipper = Shipper(
        journal,
        collector,
        facts=lambda: FACTS,
        request=lambda: make_request(key, resume, token="t", task=None, made_at_ns=1),
        clock_s=lambda: collector.now_s,
        jitter=random.Random(3).random,
    )
    for second in range(HOUR_S + 120):
        collector.now_s = float(second)
        if second < HOUR_S:
            each_second(second)
        shipper.turn()


def batches_of(collector: Collector, key: SigningKey, reads: Callable[[bytes, SigningKey], Batch]) -> list[Batch]:
    """What arrived, once it is shown to be one whole chain."""
    batches = [reads(data, key) for data in collector.taken]
    assert [each.header.sequence for each in batches] == list(range(len(batches)))
    before = [FIRST_PREVIOUS, *(each.digest for each in batches)]
    assert [each.header.previous for each in batches] == before[:-1]
    return batches


@pytest.mark.parametrize(
    ("error", "a_minute"),
    [
        (DeliveryError("refused"), 5),
        (DeliveryError("503", refused=True), 8),
        (DeliveryError("429", retry_after_s=20.0, refused=True), 3),
        (DeliveryError("429", retry_after_s=120.0, refused=True), 1),
    ],
)
def test_what_was_kept_through_an_hour_arrives_in_order(
    opener: Any, event: Event, finding: Callable[[str], Finding], reads: Any, error: DeliveryError, a_minute: int
) -> None:
    """The collector is asked a few times a minute at most, as seldom as it wishes, and then gets everything once."""
    key = SigningKey.generate()
    collector, journal = Collector(error, HOUR_S), opener(key)

    def happen(second: int) -> None:
        journal.append_event(event)
        if second % 300 == 0:
            journal.append_finding(finding(str(second)))

    live_through(collector, opener, key, journal, happen)
    away = [at_s for at_s in collector.asked_at_s if at_s < HOUR_S]
    by_minute = Counter(int(at_s // 60) for at_s in away)
    assert max(by_minute[minute] for minute in range(2, 60)) <= a_minute
    assert by_minute[0] <= 15
    if error.retry_after_s:
        assert min(after - before for before, after in pairwise(away)) >= error.retry_after_s
    batches = batches_of(collector, key, reads)
    assert sum(each.header.events.count for each in batches) == HOUR_S
    assert [each.id for batch in batches for each in read_findings(batch)] == [str(s) for s in range(0, HOUR_S, 300)]
    assert not any(each.header.lost for each in batches)


def test_past_the_bound_what_was_shed_is_counted_and_signed(
    opener: Any, event: Event, finding: Callable[[str], Finding], reads: Any
) -> None:
    """Events give way to findings; what arrived and what is said to be lost is all there was."""
    key = SigningKey.generate()
    collector, limit_bytes = Collector(DeliveryError("refused"), HOUR_S), 200_000
    journal, chance, largest = opener(key, limit_bytes), random.Random(1), 0

    def happen(second: int) -> None:
        nonlocal largest
        journal.append_event(replace(event, argv=("/bin/true", chance.randbytes(200).hex())))
        if second % 300 == 0:
            journal.append_finding(finding(str(second)))
        largest = max(largest, journal.stats().disk_bytes)

    live_through(collector, opener, key, journal, happen)
    assert largest <= limit_bytes * 1.3
    batches = batches_of(collector, key, reads)
    lost = Counter[str]()
    for batch in batches:
        lost.update(batch.header.lost)
    arrived = sum(len(read_events(batch)) for batch in batches)
    assert 0 < arrived < HOUR_S and set(lost) <= {"shed-events", "journal-events"}
    assert arrived + sum(lost.values()) == HOUR_S
    assert sum(batch.shed_events for batch in batches) == lost["shed-events"]
    assert [each.id for batch in batches for each in read_findings(batch)] == [str(s) for s in range(0, HOUR_S, 300)]


class Full:
    """A journal that always has one batch to send."""

    agent, urgent = "a", False

    def __init__(self) -> None:
        self.wake = threading.Event()

    def head(self) -> object:
        """Something."""
        return self

    def seal(self, facts: BatchFacts, **flags: bool) -> None:
        """Nothing new."""

    def keep_enrolment(self, request: EnrolRequest) -> None:
        """Not needed."""


def herd(error: DeliveryError, for_s: float) -> list[float]:
    """When a thousand agents ask a collector that fails them all from the same moment on."""
    collector, chance, key = Collector(error, for_s * 2), random.Random(5), SigningKey.generate()
    request = make_request(key, key, token="t", task=None, made_at_ns=1)
    shippers: list[Any] = [
        Shipper(
            Full(),  # type: ignore[arg-type]
            collector,
            facts=lambda: FACTS,
            request=lambda: request,
            clock_s=lambda: collector.now_s,
            jitter=chance.random,
        )
        for _ in range(AGENTS)
    ]
    due = [(0.0, number) for number in range(AGENTS)]
    while due[0][0] < for_s:
        collector.now_s, number = heapq.heappop(due)
        shippers[number].turn()
        heapq.heappush(due, (shippers[number]._send_at_s, number))
    return collector.asked_at_s


@pytest.mark.parametrize("error", [DeliveryError("refused"), DeliveryError("429", retry_after_s=60.0, refused=True)])
def test_a_thousand_agents_do_not_come_back_in_step(error: DeliveryError) -> None:
    """However exactly together they failed: after some minutes no second sees more than three times its share."""
    asked = [at_s for at_s in herd(error, 600.0) if at_s >= 300.0]
    by_second = Counter(int(at_s) for at_s in asked)
    assert max(by_second.values()) <= 3 * len(asked) / 300


def test_agents_that_were_asked_to_wait_come_back_one_after_another() -> None:
    """The first time already: not one of them early, and no second sees a tenth of them."""
    back = [at_s for at_s in herd(DeliveryError("429", retry_after_s=60.0, refused=True), 100.0) if at_s > 0.0]
    assert min(back) >= 60.0
    assert max(Counter(int(at_s) for at_s in back).values()) <= AGENTS / 10


@pytest.mark.parametrize(
    ("said", "wish_s"),
    [
        (formatdate(NOW_S + 42, usegmt=True), 42.0),
        (formatdate(NOW_S - 42, usegmt=True), 0.0),
        (formatdate(NOW_S + 86_400, usegmt=True), MAX_RETRY_AFTER_S),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("17", 17.0),
        ("9" * 90, MAX_RETRY_AFTER_S),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("\u0661\u0662", None),
        ("Fri, 99 Foo 2020 25:61:61 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(said: str | None, wish_s: float | None) -> None:
    """In any of the three forms that HTTP knows; anything else says nothing."""
    assert read_retry_after(said, NOW_S) == wish_s


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d( [-+]?\w+)?"))
def test_retry_after_is_never_believed_beyond_the_bound(said: str) -> None:
    """Whatever a peer writes there."""
    wish_s = read_retry_after(said, NOW_S)
    assert wish_s is None or 0.0 <= wish_s <= MAX_RETRY_AFTER_S
