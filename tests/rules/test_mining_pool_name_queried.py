"""Mining Pool Name Queried: hits, and as many near misses."""

import pytest
from transcripts import at, pid, ran

from outrider_wire.events import NameQueried, NameResolved, ProcessExited, SocketFacts

MINING = [("CryptoCurrency:Runtime/BitcoinTool.B!DNS", "HIGH")]


def asked(name: str, **facts) -> NameQueried:
    return NameQueried(at(200), name, "A", **({"owner": pid(1), "attribution": "exact"} | facts))


HITS = ["pool.example", "eu1.pool.example", "a.b.c.pool.example"]
MISSES = ["pool.example.org", "notpool.example", "example", "own.example", "pool-example", ""]


@pytest.mark.parametrize("name", HITS)
def test_a_listed_name_and_all_below_it_are_told(name, transcript):
    """The listed domain and its subdomains are high findings about who asked."""
    assert transcript.tell(asked(name)) == MINING
    finding = transcript.found[0]
    assert finding.process is not None
    assert (finding.process.pid, finding.attribution) == (1, "exact")
    assert finding.evidence["dns.listed_as"] == "pool.example"


@pytest.mark.parametrize("name", MISSES)
def test_other_names_are_not(name, transcript):
    """Names that only look alike, parents, and other categories raise nothing."""
    assert transcript.tell(asked(name)) == []


def test_an_answer_alone_is_no_question(transcript):
    """An answer that nobody here asked for proves nothing about this container."""
    assert transcript.tell(NameResolved(at(200), "pool.example", "A", ("192.0.2.1",))) == []


def test_nobody_known_is_said(transcript):
    """Without an owner the finding still comes, labelled unknown."""
    late = NameQueried(at(5000), "pool.example", "A")
    assert transcript.tell(late) == MINING
    assert (transcript.found[0].process, transcript.found[0].attribution) == (None, "unknown")


def test_who_has_the_name_among_its_arguments_is_inferred(transcript):
    """`getent hosts pool.example` is the likely asker, and is labelled inferred."""
    transcript.tell(ran(5, "/usr/bin/getent", "getent", "hosts", "pool.example"))
    transcript.tell(asked("pool.example", owner=None, attribution="unknown"))
    finding = transcript.found[0]
    assert finding.process is not None
    assert (finding.process.pid, finding.attribution) == (5, "inferred")


def test_the_only_program_that_just_began_is_inferred(transcript):
    """One program, shells aside, began within the last second: it is the likely asker; of two, neither is."""
    transcript.tell(ran(5, "/bin/sh", when=1450), ran(6, "/usr/bin/miner", parent=5, when=1460))
    transcript.tell(NameQueried(at(1500), "pool.example", "A"))
    finding = transcript.found[0]
    assert finding.process is not None
    assert (finding.process.pid, finding.attribution) == (6, "inferred")


def test_of_two_programs_that_just_began_neither_is_guessed(transcript):
    """Two may have asked: nobody is named."""
    transcript.tell(ran(6, "/usr/bin/miner", when=1450), ran(7, "/usr/bin/curl", when=1460))
    transcript.tell(NameQueried(at(1500), "pool.example", "A"))
    assert (transcript.found[0].process, transcript.found[0].attribution) == (None, "unknown")


def test_the_exit_stop_tells_whose_it_was(transcript):
    """A process that still held the socket at its end is the exact owner."""
    transcript.engine.handle(ran(5, "/usr/bin/miner"))
    transcript.engine.handle(asked("pool.example", owner=None, attribution="unknown", source_port=4053))
    held = (SocketFacts(9, "udp", "10.0.0.2", 4053),)
    transcript.engine.handle(ProcessExited(at(205), pid(5), 0, sockets=held))
    transcript.tell()
    finding = transcript.found[0]
    assert finding.process is not None
    assert (finding.process.pid, finding.attribution) == (5, "exact")


def test_one_process_asking_again_is_folded(transcript):
    """A miner that looks its pool up each second is one finding an hour."""
    assert transcript.tell(asked("pool.example"), asked("pool.example")) == MINING
