"""What signals, timers and threads cost under guard, where each is a stop or two.

`python -m bench.signals [--json]`. Free and guarded runs take turns.
"""

import argparse
import statistics
from pathlib import Path

from bench.guarding import Row, ratio_row, run_free, run_guarded, show

JOB = Path(__file__).parent / "jobs" / "signals.py"
SIGNALS = 5000
TIMER_UNITS = 300_000
THREADS = 1000


def measure(*, rounds: int = 7) -> list[Row]:
    """Rows of a signal, a 1 kHz timer, and thread create and join."""
    signals, timers, threads = (
        _take_turns(kind, count, rounds)
        for kind, count in (("signal", SIGNALS), ("timer", TIMER_UNITS), ("thread", THREADS))
    )
    costs = sorted(1e6 * guarded for guarded, _ in signals)
    losses = sorted(100 * (1 - free / guarded) for guarded, free in timers)
    return [
        _row("a signal under guard", costs, "us", 120.0),
        _row("work lost to a 1 kHz timer", losses, "%", 15.0),
        ratio_row("thread create and join under guard", *map(list, zip(*threads, strict=True)), 1.7),
    ]


def _take_turns(kind: str, count: int, rounds: int) -> list[tuple[float, float]]:
    return [(run_guarded(JOB, kind, count)[0], run_free(JOB, kind, count)) for _ in range(rounds)]


def _row(what: str, values: list[float], unit: str, target: float) -> Row:
    quarters = statistics.quantiles(values, n=4)
    return {
        "what": what,
        "value": round(statistics.median(values), 1),
        "unit": unit,
        "spread": [round(quarters[0], 1), round(quarters[2], 1)],
        "target": target,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    show(measure(), as_json=options.json)


if __name__ == "__main__":
    main()
