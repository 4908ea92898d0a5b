"""Killed at any point, two hundred times: nothing that was answered is lost, and nothing is there twice."""

import os
import random
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from outrider_collector.intake import Intake
from outrider_collector.spool import Spool
from outrider_collector.store import tables
from outrider_collector.store.database import open_database
from outrider_wire.enrolment import make_request
from outrider_wire.findings import Finding

ROUNDS = 200
AGENTS = 3
LONGEST_S = 0.15
"""A kill comes so long, at most, after the start has begun, or, in every other round, after it has ended."""
READY = 255
"""Told in place of an agent's number: the start is over."""
CHAIN = 6000
TOKEN = "a-token-for-tests"
NOTE = struct.Struct(">BI")
"""What a collector under test tells outside: an agent's number and the sequence that was acknowledged to it."""


def open_intake(data: Path) -> Intake:
    """As a collector that starts does it."""
    intake = Intake(open_database(data / "db.sqlite"), Spool(data / "spool"))
    intake.start()
    return intake


def send_until_killed(data: Path, speakers: list[Any], said: Callable[[Any], bytes], acknowledge: int) -> None:
    """A collector's life: each agent sends one batch after another, and each answer is noted outside."""
    intake = open_intake(data)
    os.write(acknowledge, NOTE.pack(READY, 0))
    while True:
        answers = [(index, one.sequence, intake.submit(said(one))) for index, one in enumerate(speakers)]
        for index, sequence, answer in answers:
            answer.result(10)
            os.write(acknowledge, NOTE.pack(index, sequence))


def run_and_kill(
    data: Path, speakers: list[Any], said: Callable[[Any], bytes], after_s: float, *, started: bool
) -> list[tuple[int, int]]:
    """Start one in a process of its own, kill it after a while; what it acknowledged, agent by number.

    The while begins with the process, or once it has `started` and takes batches.
    """
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(read_fd)
            send_until_killed(data, speakers, said, write_fd)
        finally:
            os._exit(1)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as notes:
        raw = notes.read(NOTE.size) if started else b""
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raw += notes.read()
    whole = raw[: len(raw) // NOTE.size * NOTE.size]
    return [(index, sequence) for index, sequence in NOTE.iter_unpack(whole) if index != READY]


def test_nothing_acknowledged_is_lost_and_nothing_doubled(
    tmp_path: Path, speaker: Any, finding: Callable[..., Finding]
) -> None:
    """Each round a collector is killed somewhere between taking a batch and indexing it, and its agents go on."""
    chance = random.Random(7)
    speakers = [speaker(interval_s=3600.0) for _ in range(AGENTS)]
    intake = open_intake(tmp_path)
    for one in speakers:
        request = make_request(one.key, one.resume, token=TOKEN, task=None, made_at_ns=1)
        assert intake.enrol(request).result(5).accepted
    intake.close()
    acknowledged = [0] * AGENTS
    # sealed beforehand: what an agent sends again after a collector's death is the very same batch
    chains = [[one.say(finding(f"{index}-{n}")).data for n in range(CHAIN)] for index, one in enumerate(speakers)]

    def said(one: Any) -> bytes:
        one.sequence += 1
        return chains[speakers.index(one)][one.sequence - 1]

    fruitful = 0
    for number in range(ROUNDS):
        for index, one in enumerate(speakers):
            one.sequence = acknowledged[index]
        after_s, started = chance.uniform(0.0, LONGEST_S), bool(number % 2)
        told = run_and_kill(tmp_path, speakers, said, after_s, started=started)
        for index, sequence in told:
            acknowledged[index] = max(acknowledged[index], sequence + 1)
        fruitful += bool(told)
    assert fruitful > ROUNDS / 4, "too few rounds came to take batches to show anything"
    assert_each_once(tmp_path, speakers, acknowledged)


def assert_each_once(data: Path, speakers: list[Any], acknowledged: list[int]) -> None:
    """Every acknowledged batch and finding is in the store, once; no gap, no fork, nothing else was told."""
    intake = open_intake(data)
    assert intake.indexer.wait(30)
    intake.close()
    engine = open_database(data / "db.sqlite")
    with engine.connect() as connection:
        for index, one in enumerate(speakers):
            mine = tables.batches.c.agent == one.key.agent
            numbers = [row[0] for row in connection.execute(select(tables.batches.c.sequence).where(mine))]
            assert sorted(numbers) == list(range(len(numbers))) and len(numbers) >= acknowledged[index]
            ours = tables.occurrences.c.agent == one.key.agent
            found = connection.execute(select(func.count()).select_from(tables.occurrences).where(ours)).scalar_one()
            assert found == len(numbers)
    engine.dispose()


@pytest.mark.parametrize("torn", [1, 9, 40])
def test_a_torn_end_of_the_spool_is_no_batch(
    tmp_path: Path, speaker: Any, finding: Callable[..., Finding], torn: int
) -> None:
    """Of a frame that was half written nobody was told; what comes after it is kept as before."""
    one = speaker()
    intake = open_intake(tmp_path)
    intake.enrol(make_request(one.key, one.resume, token=TOKEN, task=None, made_at_ns=1)).result(5)
    intake.submit(one.say(finding("a")).data).result(5)
    intake.close()
    newest = max((tmp_path / "spool").iterdir())
    with open(newest, "ab") as file:
        file.write(newest.read_bytes()[:torn])
    intake = open_intake(tmp_path)
    intake.submit(one.say(finding("b")).data).result(5)
    assert intake.indexer.wait()
    intake.close()
    assert_each_once(tmp_path, [one], [2])
