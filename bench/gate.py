"""What starting an ordinary program costs in a container whose starts may be refused: 3,000 posix_spawn of /bin/true.

`python -m bench.gate [--json]`. Runs with the gate and without it take turns; the figure is the median ratio of the
pairs. The programs are the image's, which the kernel asks about once in each run and not again.
"""

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

from bench.guarding import READY_S, Row, ratio_row, run_free, show
from bench.spawn import JOB, SPAWNS
from outrider_lab.box import Box
from outrider_sidecar.gate import GateOptions, Pair, open_pair, run_gate
from outrider_sidecar.gate.channel import Channel
from outrider_sidecar.gate.ledger import Count
from outrider_sidecar.gate.records import Guarded, Roster
from outrider_sidecar.heartbeat import Heartbeat
from outrider_sidecar.linux import prctl

TARGET = 1.15


class Gate:
    """A gate in a process of its own that covers one container; its engine need not be there for what is old."""

    def __init__(self, box: Box) -> None:
        self._pair = open_pair()
        self._pid = _fork(self._pair)
        Channel(self._pair.engine_fd).send(Roster([Guarded(box.mnt_ns, box.pid, box.baseline_ns)]))
        deadline_s = time.monotonic() + READY_S
        while not self._pair.ledger[Count.COVERED]:
            if time.monotonic() > deadline_s:
                raise TimeoutError("the gate did not get ready")
            time.sleep(0.002)

    def end(self) -> int:
        """Let everybody go; how often the kernel asked."""
        os.kill(self._pid, signal.SIGTERM)
        os.waitpid(self._pid, 0)
        return self._pair.ledger[Count.ASKED]


def _fork(pair: Pair) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl.set_parent_death_signal(signal.SIGKILL)
        run_gate(GateOptions(dry_run=False), pair, Heartbeat())
    finally:
        os._exit(0)


def measure(*, spawns: int = SPAWNS, rounds: int = 10) -> list[Row]:
    """The ratio, and how often the kernel asked in one run."""
    with tempfile.TemporaryDirectory() as folder:
        box = Box(Path(folder))
        try:
            return _measure_in(box, spawns // rounds, rounds)
        finally:
            box.close()


def _measure_in(box: Box, spawns: int, rounds: int) -> list[Row]:
    job = Path(box.volume) / JOB.name
    job.write_bytes(JOB.read_bytes())
    inside, free, gated, asked = Path("/volume") / JOB.name, [], [], []
    wrap = box.command(())
    run_free(inside, spawns, wrap=wrap)  # warm caches
    for _ in range(rounds):
        free.append(run_free(inside, spawns, wrap=wrap))
        gate = Gate(box)
        try:
            gated.append(run_free(inside, spawns, wrap=wrap))
        finally:
            asked.append(gate.end())
    return [
        ratio_row("spawn of an ordinary program, its start may be refused", gated, free, TARGET),
        {"what": "questions of the kernel", "value": max(asked), "unit": "a run", "spread": [min(asked), max(asked)]}
        | {"target": None},
        {
            "what": "spawn without a gate",
            "value": round(min(free) / spawns * 1e6, 1),
            "unit": "us",
            "spread": [round(min(free) / spawns * 1e6, 1), round(max(free) / spawns * 1e6, 1)],
            "target": None,
        },
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    show(measure(rounds=options.rounds), as_json=options.json)


if __name__ == "__main__":
    main()
