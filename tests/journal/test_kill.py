"""kill -9 at any moment: whatever an append returned for is sent by the successor, once, in one chain."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from outrider_sidecar.journal import Journal
from outrider_wire.batch import FIRST_PREVIOUS, Batch, BatchFacts, open_envelope, read_findings, verify_envelope
from outrider_wire.findings import Finding
from outrider_wire.signing import SigningKey

LIMIT = 64 << 20

ROUNDS = 25


def write_until_killed(root: Path, key: SigningKey, told: int, make: Callable[[str], Finding], first: int) -> None:
    """In a child: append numbered findings, tell each number when its append returned, seal now and then."""
    journal = Journal.open(root, limit_bytes=LIMIT, key=key)
    facts = BatchFacts(interval_s=10.0)
    number = first
    while True:
        journal.append_finding(make(str(number)))
        os.write(told, number.to_bytes(8, "big"))
        number += 1
        if number % 7 == 0:
            journal.seal(facts)


def kill_one_writer(root: Path, key: SigningKey, make: Callable[[str], Finding], first: int) -> int:
    """Let a writer run for a random moment, kill it, and return one more than the last number it told."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            write_until_killed(root, key, write_end, make, first)
        finally:
            os._exit(1)
    os.close(write_end)
    assert os.read(read_end, 8)
    time.sleep(random.uniform(0.0, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    told = b"".join(iter(lambda: os.read(read_end, 1 << 16), b""))
    os.close(read_end)
    return first + 1 + len(told) // 8


def test_nothing_told_is_lost_and_nothing_is_doubled(tmp_path: Path, finding: Callable[[str], Finding]) -> None:
    """Over many kills, with the same key and with new ones, every finding comes out exactly once and chains hold."""
    root, keys, count = tmp_path / "j", [SigningKey.generate()], 0
    appended: list[range] = []
    for turn in range(ROUNDS):
        if turn % 5 == 4:
            keys.append(SigningKey.generate())
        first = count
        count = kill_one_writer(root, keys[-1], finding, first)
        appended.append(range(first, count))
        count += 1  # the killed append may have come through: leave its number free
    last = SigningKey.generate()
    journal = Journal.open(root, limit_bytes=LIMIT, key=last)
    while journal.seal(BatchFacts(interval_s=10.0)):
        pass
    publics = {key.agent: key.public for key in (*keys, last)}
    batches: dict[str, list[Batch]] = {}
    for shelved in journal.pending():
        batch = verify_envelope(open_envelope(shelved.read()), publics[shelved.agent])
        batches.setdefault(shelved.agent, []).append(batch)
    for chain in batches.values():
        expected = FIRST_PREVIOUS
        for number, batch in enumerate(chain):
            assert (batch.header.sequence, batch.header.previous) == (number, expected)
            expected = batch.digest
    told = [int(each.id) for chain in batches.values() for batch in chain for each in read_findings(batch)]
    assert len(told) == len(set(told))
    assert set(told) >= {number for numbers in appended for number in numbers}
    journal.close()
