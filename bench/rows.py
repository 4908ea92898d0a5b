"""Printing rows of figures: one JSON list, or a table for people."""

import json
from collections.abc import Sequence

Row = dict[str, object]


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print what was measured."""
    if as_json:
        print(json.dumps(list(rows), indent=1))
        return
    for row in rows:
        print(f"{row['what']:<64} {row['value']:>9} {row['unit']:<12} spread {row['spread']} target {row['target']}")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all lie at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
