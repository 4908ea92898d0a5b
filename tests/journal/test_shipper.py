"""The shipper, turn by turn in simulated time: what is sent when, and what no collector can do to it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from outrider_sidecar.journal import Journal, load_resume_key
from outrider_sidecar.shipper import PATIENCE, REFUSED_ENROLMENT_WAIT_S, Shipper
from outrider_wire.batch import BatchFacts, peek_header
from outrider_wire.enrolment import make_request
from outrider_wire.errors import DeliveryError, WireError
from outrider_wire.events import Event
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

Make = Callable[[str], Finding]


@dataclass
class Sidecar:
    """A journal, a shipper over a scripted transport, and a clock that moves when told."""

    opener: Any
    transport: Any
    key: SigningKey = field(default_factory=SigningKey.generate)
    now_s: float = 1000.0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal: Journal = self.opener(self.key)
        resume = load_resume_key(self.opener.root)
        self.shipper = Shipper(
            self.journal,
            self.transport,
            facts=lambda: BatchFacts(interval_s=10.0),
            request=lambda: make_request(self.key, resume, token="t", task=None, made_at_ns=int(self.now_s)),
            report=lambda word, sentence: self.said.append(word),
            clock_s=lambda: self.now_s,
            jitter=lambda: 0.0,
        )

    def turn(self, after_s: float = 0.0) -> None:
        """Let time pass, then take a turn."""
        self.now_s += after_s
        self.shipper.turn()

    def turns(self, count: int, each_s: float) -> None:
        """Several of them."""
        for _ in range(count):
            self.turn(each_s)


def test_the_first_turn_enrols_and_says_hello(opener: Any, scripted: Any) -> None:
    """The collector hears of the agent at once, and each interval after."""
    sidecar = Sidecar(opener, scripted())
    sidecar.turn()
    assert (len(sidecar.transport.enrolled), sidecar.transport.sequences) == (1, [0])
    sidecar.turns(7, 1.0)
    assert sidecar.transport.sequences == [0]
    sidecar.turn(1.5)
    assert sidecar.transport.sequences == [0, 1]


def test_a_finding_goes_at_once_and_events_each_second(opener: Any, scripted: Any, finding: Make, event: Event) -> None:
    """A finding does not wait for the second to pass."""
    sidecar = Sidecar(opener, scripted())
    sidecar.turn()
    sidecar.journal.append_event(event)
    sidecar.turn(0.01)
    assert sidecar.transport.sequences == [0]
    sidecar.journal.append_finding(finding("a"))
    sidecar.turn(0.01)
    header, _, _ = peek_header(sidecar.transport.batches[-1])
    assert (header.sequence, header.findings.count, header.events.count) == (1, 1, 1)
    sidecar.journal.append_event(event)
    sidecar.turn(1.1)
    assert sidecar.transport.sequences == [0, 1, 2]


def test_an_hour_without_a_collector_loses_nothing(opener: Any, scripted: Any, finding: Make, event: Event) -> None:
    """Attempts grow rare, heartbeats do not pile up, and afterwards everything goes out in order."""
    sidecar = Sidecar(opener, scripted(*[DeliveryError("refused")] * 100_000))
    for second in range(3600):
        sidecar.journal.append_event(event)
        if second % 600 == 0:
            sidecar.journal.append_finding(finding(str(second)))
        sidecar.turn(1.0)
    assert sidecar.transport.requests < 300
    pending = len(sidecar.journal.pending())
    assert pending < 200
    sidecar.transport.script.clear()
    sidecar.turns(2, 31.0)
    assert sidecar.transport.sequences == list(range(len(sidecar.transport.sequences)))
    heads = [peek_header(batch)[0] for batch in sidecar.transport.batches]
    assert (sum(h.findings.count for h in heads), sum(h.events.count for h in heads)) == (6, 3600)
    assert sidecar.said.count("delivery-failed") == 1


def test_findings_are_sealed_while_the_collector_is_away(opener: Any, scripted: Any, finding: Make) -> None:
    """Sealing does not wait for delivery: the agent's own signature is on a finding at once."""
    sidecar = Sidecar(opener, scripted(*[DeliveryError("refused")] * 10))
    sidecar.turn()
    sidecar.journal.append_finding(finding("a"))
    sidecar.turn()
    assert sum(peek_header(b.read())[0].findings.count for b in sidecar.journal.pending()) == 1


def test_the_collectors_wish_to_wait_is_honoured(opener: Any, scripted: Any) -> None:
    """Retry-After is waited out."""
    sidecar = Sidecar(opener, scripted(DeliveryError("429", retry_after_s=60.0, refused=True)))
    sidecar.turn()
    sidecar.turns(59, 1.0)
    assert sidecar.transport.requests == 1
    sidecar.turn(2.0)
    assert sidecar.transport.sequences == [0]


def test_a_batch_that_can_never_be_taken_is_put_aside(opener: Any, scripted: Any, finding: Make) -> None:
    """The rest gets through; what was put aside is counted and told."""
    sidecar = Sidecar(opener, scripted(None, WireError("bad-signature", "no")))
    sidecar.turn()
    sidecar.journal.append_finding(finding("a"))
    sidecar.turn()
    sidecar.journal.append_finding(finding("b"))
    sidecar.turn()
    assert sidecar.transport.sequences == [0, 2]
    assert (sidecar.shipper.status.parked, sidecar.said) == (1, ["batch-refused"])


def test_a_collector_that_forgot_the_agent_is_told_again(opener: Any, scripted: Any) -> None:
    """Unknown agent: it enrols anew and the same batch goes through."""
    sidecar = Sidecar(opener, scripted(WireError("unknown-agent", "who?")))
    sidecar.turn()
    sidecar.turn(1.0)
    assert (len(sidecar.transport.enrolled), sidecar.transport.sequences) == (2, [0])


@pytest.mark.parametrize("code", ["bad-token", "second-enrolment", "unknown-version"])
def test_a_refused_enrolment_keeps_everything(opener: Any, scripted: Any, finding: Make, code: str) -> None:
    """No batch is put aside because the agent is not known; it asks seldom, and goes on when it is let in."""
    transport = scripted()
    transport.refuse_enrolment = WireError(code, "no")
    sidecar = Sidecar(opener, transport)
    sidecar.journal.append_finding(finding("a"))
    sidecar.turns(100, 1.0)
    assert (transport.requests, sidecar.shipper.status.parked) == (0, 0)
    assert sidecar.shipper.status.failures < 5
    transport.refuse_enrolment = None
    sidecar.turns(2, REFUSED_ENROLMENT_WAIT_S * 2)
    assert transport.sequences[0] == 0


def test_a_predecessor_that_died_unheard_is_enrolled_by_its_successor(
    opener: Any, scripted: Any, finding: Make
) -> None:
    """Its kept enrolment is handed in, then its batches count."""
    dead = Sidecar(opener, scripted())
    dead.transport.refuse_enrolment = DeliveryError("refused")
    dead.journal.append_finding(finding("a"))
    dead.turn()
    heir = Sidecar(opener, scripted(WireError("unknown-agent", "who?")))
    heir.turn()
    assert [request.public_key for request in heir.transport.enrolled] == [heir.key.public, dead.key.public]
    assert [peek_header(batch)[0].agent for batch in heir.transport.batches] == [dead.key.agent]
    assert heir.transport.enrolled[1].token == "t"
    heir.turn(10.0)
    assert peek_header(heir.transport.batches[-1])[0].agent == heir.key.agent


def test_an_unknown_predecessor_without_an_enrolment_blocks_nobody(
    opener: Any, scripted: Any, facts: BatchFacts
) -> None:
    """Its batches are put aside and the heir's go out."""
    opener(SigningKey.generate()).seal(facts, force=True)
    heir = Sidecar(opener, scripted(WireError("unknown-agent", "who?")))
    heir.turn()
    heir.turn(10.0)
    assert heir.shipper.status.parked == 1
    assert [peek_header(batch)[0].agent for batch in heir.transport.batches] == [heir.key.agent]


def test_a_batch_that_makes_the_collector_stumble_does_not_block(opener: Any, scripted: Any, finding: Make) -> None:
    """After many server errors the next batch is tried; if that is taken, it was the batch."""
    failures = [DeliveryError("500", refused=True)] * PATIENCE
    sidecar = Sidecar(opener, scripted(*failures))
    sidecar.turn()
    sidecar.journal.append_finding(finding("a"))
    sidecar.turns(PATIENCE, 40.0)
    assert sidecar.transport.sequences[0] == 1
    assert sidecar.shipper.status.parked == 1


def test_an_outage_of_server_errors_puts_nothing_aside(opener: Any, scripted: Any, finding: Make) -> None:
    """When every batch is answered with an error, it is not the batch."""
    sidecar = Sidecar(opener, scripted(*[DeliveryError("500", refused=True)] * 100))
    sidecar.turn()
    sidecar.journal.append_finding(finding("a"))
    sidecar.turns(60, 40.0)
    assert sidecar.shipper.status.parked == 0 and len(sidecar.journal.pending()) == 2


def test_a_flush_says_good_bye_and_ends_the_thread(opener: Any, scripted: Any, finding: Make) -> None:
    """After the flush the collector has everything, the last batch is final, and the thread has gone."""
    transport = scripted()
    sidecar = Sidecar(opener, transport)
    shipper = Shipper(
        sidecar.journal, transport, facts=lambda: BatchFacts(interval_s=10.0), request=sidecar.shipper._request
    )
    thread = threading.Thread(target=shipper.run, args=(threading.Event(),))
    thread.start()
    sidecar.journal.append_finding(finding("a"))
    assert shipper.flush(5.0)
    thread.join(5.0)
    assert not thread.is_alive()
    heads = [peek_header(batch)[0] for batch in transport.batches]
    assert sum(head.findings.count for head in heads) == 1
    assert [head.final for head in heads] == [False] * (len(heads) - 1) + [True]


def test_a_flush_gives_up_in_time(opener: Any, scripted: Any, finding: Make) -> None:
    """With no collector it returns at its deadline, and the good-bye lies in the journal."""
    sidecar = Sidecar(opener, scripted(*[DeliveryError("refused")] * 1000))
    shipper = Shipper(
        sidecar.journal, sidecar.transport, facts=lambda: BatchFacts(interval_s=10.0), request=sidecar.shipper._request
    )
    began = time.monotonic()
    assert not shipper.flush(0.3)
    assert time.monotonic() - began < 2.0
    assert peek_header(sidecar.journal.pending()[-1].read())[0].final
