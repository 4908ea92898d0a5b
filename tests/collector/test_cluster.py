"""Three collectors behind one address over one PostgreSQL: any of them gets any agent's next batch, and one dies."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from round_robin import RoundRobin, balanced
from sqlalchemy import Engine, func, select

from outrider_collector.store import tables
from outrider_collector.store.database import open_database
from outrider_wire.batch import CONTENT_TYPE
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, encode_request
from outrider_wire.findings import Finding

COLLECTORS = 3
AGENTS = 8
KILLS = 2
BEFORE_A_KILL = 15
"""Batches of each agent, at least, between one kill and the next."""
DEADLINE_S = 60.0


@dataclass
class Sender:
    """An agent's sidecar: one batch after another, each on a new connection, again until it has the receipt."""

    port: int
    agent: Any
    make: Callable[[str], Finding]
    acknowledged: list[int] = field(default_factory=list)
    tries: int = 0

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            self.send_next()

    def send_next(self) -> None:
        """Its next batch, with a finding of its own."""
        number = self.agent.sequence
        data = self.agent.say(self.make(f"{self.agent.key.agent}-{number}")).data
        assert self.ask("/v1/batches", CONTENT_TYPE, data)["sequence"] == number
        self.acknowledged.append(number)

    def ask(self, path: str, content_type: str, body: bytes) -> dict[str, Any]:
        """The answer, however often it takes."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            self.tries += 1
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
            try:
                connection.request("POST", path, body, {"Content-Type": content_type})
                response = connection.getresponse()
                said = response.read()
                if response.status == 200:
                    return dict(json.loads(said))
                assert response.status in (429, 503), said
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.02)
        raise AssertionError("no collector answers")


@dataclass
class Cluster:
    """The collectors, their database, the address they share, and the agents."""

    start: Callable[..., Any]
    root: Path
    url: str
    collectors: list[Any]
    balancer: RoundRobin
    engine: Engine

    def kill(self, index: int) -> None:
        """Kill one without notice."""
        self.collectors[index].process.kill()
        self.collectors[index].process.wait()

    def revive(self, index: int) -> None:
        """Start it again over what it left, at an address of its own."""
        self.collectors[index] = run_one(self.start, self.root, index, self.url)
        self.balancer.backends[index] = address_of(self.collectors[index])

    def rows(self, table: Any, agent: str) -> int:
        """How many rows of an agent a table has."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).where(table.c.agent == agent)).scalar_one())

    def told(self) -> list[dict[str, Any]]:
        """Findings that the collectors made themselves."""
        with self.engine.connect() as connection:
            bodies = connection.execute(select(tables.occurrences.c.body)).scalars()
            return [each for each in map(json.loads, bodies) if "Integrity" in each["type"]]

    def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something to come about."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline_s, what
            time.sleep(0.05)


def address_of(collector: Any) -> tuple[str, int]:
    """Where one listens."""
    host, _, port = collector.url.removeprefix("http://").partition(":")
    return host, int(port)


def run_one(start: Callable[..., Any], root: Path, index: int, url: str) -> Any:
    """Start a collector with a data directory of its own; what it looks for, it looks for often."""
    return start(root / str(index), database=url, gap_grace_s="0.5", silence_check_s="0.1", absence_s="30")


@pytest.fixture
def cluster(start: Callable[..., Any], tmp_path: Path, postgres: Any) -> Iterator[Cluster]:
    """Three collectors that run."""
    url = postgres.create()
    collectors = [run_one(start, tmp_path, index, url) for index in range(COLLECTORS)]
    engine = open_database(url)
    with balanced([address_of(each) for each in collectors]) as balancer:
        yield Cluster(start, tmp_path, url, collectors, balancer, engine)
    engine.dispose()


def enrolled(cluster: Cluster, agent: Any, make: Callable[[str], Finding]) -> Sender:
    """An agent that some collector knows."""
    sender = Sender(cluster.balancer.port, agent, make)
    assert sender.ask("/v1/enrol", ENROL_CONTENT_TYPE, encode_request(agent.request()))["accepted"]
    return sender


def test_a_collector_is_killed_under_load_and_nothing_is_lost_doubled_or_made_up(
    cluster: Cluster, speaker: Any, finding: Callable[..., Finding]
) -> None:
    """Every acknowledged batch is in the store once; no gap, fork or silence is told but the one that is true."""
    senders = [enrolled(cluster, speaker(interval_s=2.0), finding) for _ in range(AGENTS)]
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in senders]
    for thread in threads:
        thread.start()
    try:
        for index in range(KILLS):
            before = min(len(each.acknowledged) for each in senders)
            cluster.wait_for(
                lambda: min(len(each.acknowledged) for each in senders) >= before + BEFORE_A_KILL,  # noqa: B023
                "the agents get nowhere",
            )
            cluster.kill(index)
            time.sleep(1.0)  # the others take over; longer than the grace, so that what only the dead one has is missed
            cluster.revive(index)
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert cluster.told() == []
    assert all(count > AGENTS for count in cluster.balancer.counts), "some collector got next to nothing"
    assert sum(each.tries for each in senders) > sum(len(each.acknowledged) for each in senders), "no answer was lost"
    assert_each_once(cluster, senders)
    assert_what_is_missing_is_told(cluster, senders[0])


def assert_each_once(cluster: Cluster, senders: list[Sender]) -> None:
    """Of each agent, all that it was given a receipt for, and the findings of these: no more, no fewer."""
    for each in senders:
        name, count = each.agent.key.agent, len(each.acknowledged)
        assert each.acknowledged == list(range(count))
        cluster.wait_for(
            lambda: cluster.rows(tables.batches, name) == count,  # noqa: B023
            f"of {count} batches {cluster.rows(tables.batches, name)} are in the store",
        )
    of_agents = {each.agent.key.agent: len(each.acknowledged) for each in senders}
    found = {name: cluster.rows(tables.occurrences, name) for name in of_agents}
    assert found == of_agents
    assert types(cluster) <= {"AgentSilent"}, "they are silent by now, but nothing else"


def assert_what_is_missing_is_told(cluster: Cluster, sender: Sender) -> None:
    """A batch that no collector got, once, whichever of them notices; and then the silence of those who stopped."""
    missing = sender.agent.sequence
    sender.agent.say()
    sender.send_next()
    cluster.wait_for(lambda: any(each["type"].endswith("/Gap") for each in cluster.told()), "the gap is not told")
    gaps = [each["evidence"] for each in cluster.told() if each["type"].endswith("/Gap")]
    assert [(each["first_missing"], each["last_missing"]) for each in gaps] == [(missing, missing)]
    cluster.wait_for(lambda: "AgentSilent" in types(cluster), "silence is not told")
    assert types(cluster) == {"Gap", "AgentSilent"}


def types(cluster: Cluster) -> set[str]:
    """What kinds of findings the collectors made."""
    return {each["type"].rpartition("/")[2] for each in cluster.told()}
