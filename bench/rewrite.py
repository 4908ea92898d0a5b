"""What rewriting costs: a thousand task definitions guarded, guarded again, taken out, and edited as text.

`python -m bench.rewrite [--json]`. The definitions are those of task-defs/before, each with a family of its own.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, Final

from bench.rows import Row, show
from outrider_cdk.editing import edited, read_document
from outrider_cdk.examples import EXAMPLES
from outrider_cdk.rewriting import guard, unguard

DEFINITIONS: Final = 1_000
ROUNDS: Final = 5


def measure() -> list[Row]:
    """Seconds for a thousand, the median of several rounds."""
    examples = list(EXAMPLES.values())
    many = [
        ({**examples[n % len(examples)].before, "family": f"family-{n}"}, examples[n % len(examples)].options)
        for n in range(DEFINITIONS)
    ]
    texts = [json.dumps(task, indent=2).encode() for task, _ in many]
    guarded = [guard(task, options).definition for task, options in many]
    pairs = list(zip(many, texts, strict=True))
    return [
        _row("guarded", lambda: [guard(task, options) for task, options in many], 2.0),
        _row("guarded already", lambda: [guard(task, many[n][1]) for n, task in enumerate(guarded)], 2.0),
        _row("taken out", lambda: [unguard(task) for task in guarded], None),
        _row("JSON read, guarded, written", lambda: [_whole(text, options) for (_, options), text in pairs], None),
        _row("edited within their text", lambda: [_within_text(text, options) for (_, options), text in pairs], None),
    ]


def _whole(text: bytes, options: Any) -> str:
    return json.dumps(guard(json.loads(text), options).definition, indent=2)


def _within_text(text: bytes, options: Any) -> str:
    document = read_document(text, "task.json")
    return edited(document, guard(document.value, options).edits).text


def _row(what: str, run: Callable[[], object], target_s: float | None) -> Row:
    took_s = sorted(_timed(run) for _ in range(ROUNDS))
    return {
        "what": f"{DEFINITIONS:,} task definitions: {what}",
        "value": round(took_s[ROUNDS // 2], 3),
        "unit": "s",
        "spread": f"{took_s[0]:.3f} to {took_s[-1]:.3f}",
        "target": target_s,
    }


def _timed(run: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    show(measure(), as_json=parser.parse_args().json)
