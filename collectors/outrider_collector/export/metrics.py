"""What the exports that run here have to tell Prometheus."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from outrider_collector.api.metrics import Labels, Metric, Source, counter, gauge
from outrider_collector.export.counters import Counters

_COUNTED: Final = {
    "sent": "Findings that a target took.",
    "refused": "Findings that a target will never take.",
    "retried": "Failed tries of single findings.",
    "failures": "Times that nothing got through to a target.",
    "forgotten": "Findings given up that had to make room for later ones.",
    "store_errors": "Times that the store could not be used.",
}
_STANDING: Final = {
    "behind": "Changes of findings that an export has yet to look at.",
    "waiting": "Findings that are to be sent later, since they repeat or failed.",
    "dead": "Findings that were given up.",
    "failing": "Whether a target takes nothing.",
    "holding": "Whether this collector does the export.",
}


def metrics_of(exports: Sequence[Counters]) -> Source:
    """A source of metrics for these exports."""

    def told() -> Iterable[Metric]:
        for name, told in _COUNTED.items():
            yield counter(f"export_{name}_total", told, _values(exports, name))
        for name, told in _STANDING.items():
            yield gauge(f"export_{name}", told, _values(exports, name))
        sent_at = "When a target last took a finding, in seconds since the epoch; 0 for never."
        yield gauge("export_sent_at_seconds", sent_at, _each(exports, lambda each: each.sent_at_ns / 1e9))

    return told


def _values(exports: Sequence[Counters], name: str) -> list[tuple[Labels, float]]:
    return _each(exports, lambda each: float(getattr(each, name)))


def _each(exports: Sequence[Counters], value: Callable[[Counters], float]) -> list[tuple[Labels, float]]:
    return [((("export", each.name), ("kind", each.kind)), value(each)) for each in exports]
