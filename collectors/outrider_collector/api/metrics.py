"""GET /metrics: Prometheus' text format, written by hand.

The numbers are kept by whom they are of, and read when somebody asks; the format is a line each. prometheus_client
would bring a registry to keep them in a second time, and a tenth of a second to the start.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

from anyio import to_thread
from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from outrider_collector.api.counters import BUCKETS_S, Counters
from outrider_collector.api.operation import Operation, Parts
from outrider_collector.backlog import backlog_bytes, spool_bytes
from outrider_collector.store.counting import count_store
from outrider_collector.store.coverage import count_agents
from outrider_collector.store.reading import reading

PREFIX: Final = "outrider_collector_"
MEDIA: Final = "text/plain"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

COUNTED_EVERY_S: Final = 15.0
"""Findings and agents are counted no more often: that walks an index."""

Labels = tuple[tuple[str, str], ...]


class Metric(Struct, frozen=True):
    """One metric: its name without our prefix, `counter`, `gauge` or `histogram`, a sentence, its values by labels.

    The samples of a histogram carry their own suffix, as `_bucket`, before the labels.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[tuple[str, Labels, float]]


Source = Callable[[], Iterable[Metric]]
"""A part of the collector that has numbers to tell, such as an exporter. Called in a thread."""


def counter(name: str, told: str, values: Iterable[tuple[Labels, float]]) -> Metric:
    """A number that only grows."""
    return Metric(name, "counter", told, [("", labels, value) for labels, value in values])


def gauge(name: str, told: str, values: Iterable[tuple[Labels, float]]) -> Metric:
    """A number as it is now."""
    return Metric(name, "gauge", told, [("", labels, value) for labels, value in values])


def write_metrics(metrics: Iterable[Metric]) -> str:
    """Metrics as text. Label values may be any text."""
    lines: list[str] = []
    for metric in metrics:
        name = PREFIX + metric.name
        lines += [f"# HELP {name} {_escape(metric.help)}", f"# TYPE {name} {metric.kind}"]
        for suffix, labels, value in metric.samples:
            shown = ",".join(f'{key}="{_escape(text, quoted=True)}"' for key, text in labels)
            braced = f"{{{shown}}}" if shown else ""
            lines.append(f"{name}{suffix}{braced} {value:.9g}" if value % 1 else f"{name}{suffix}{braced} {int(value)}")
    return "\n".join(lines) + "\n"


class Metrics:
    """The endpoint."""

    def __init__(self, parts: Parts, sources: Iterable[Source] = ()) -> None:
        self._parts, self._sources = parts, tuple(sources)
        self._counted: list[Metric] = []
        self._counted_at_s = float("-inf")

    async def serve(self, request: Request, parts: Parts) -> Response:
        """Everything there is to tell."""
        del request
        told = [*counted_here(parts.counters)]
        told += await to_thread.run_sync(self._gather, abandon_on_cancel=True)
        return Response(write_metrics(told), media_type=CONTENT_TYPE)

    def _gather(self) -> list[Metric]:
        found = [*_spool(self._parts)]
        for source in self._sources:
            found += source()
        if time.monotonic() - self._counted_at_s > COUNTED_EVERY_S:
            try:
                self._counted, self._counted_at_s = _count(self._parts), time.monotonic()
            except SQLAlchemyError:
                self._counted = []
        return found + self._counted


def counted_here(counters: Counters) -> Iterator[Metric]:
    """What the HTTP face counted."""
    batches = [((("outcome", outcome),), float(n)) for outcome, n in sorted(counters.batches.items())]
    yield counter("batches_total", "Batches answered, by whether they were new.", batches)
    yield counter("batch_bytes_total", "Bytes of batches answered.", [((), counters.batch_bytes)])
    refusals = [((("code", code),), float(n)) for code, n in sorted(counters.refusals.items())]
    yield counter("refusals_total", "Requests refused, by code.", refusals)
    requests = [
        ((("operation", name), ("status", str(status))), float(n))
        for (name, status), n in sorted(counters.requests.items())
    ]
    yield counter("requests_total", "Requests of the API answered, batches left out.", requests)
    yield gauge("streams", "Streams of findings that are open.", [((), counters.streams)])
    yield _histogram(counters)


def _histogram(counters: Counters) -> Metric:
    below = 0
    samples: list[tuple[str, Labels, float]] = []
    for edge, n in zip([*map(str, BUCKETS_S), "+Inf"], counters.answered_in, strict=True):
        below += n
        samples.append(("_bucket", (("le", edge),), float(below)))
    samples += [("_sum", (), counters.answered_in_s), ("_count", (), float(below))]
    told = "From a batch's last byte to its answer."
    return Metric("batch_answer_seconds", "histogram", told, samples)


def _spool(parts: Parts) -> Iterator[Metric]:
    yield gauge(
        "index_lag_bytes",
        "Bytes of the spool not indexed yet.",
        [((), backlog_bytes(parts.intake.indexer, parts.spool))],
    )
    yield gauge("spool_bytes", "Bytes of the spool on disk.", [((), spool_bytes(parts.spool))])


def _count(parts: Parts) -> list[Metric]:
    with reading(parts.engine) as connection:
        counts, agents = count_store(connection), count_agents(connection)
    return [
        gauge("findings", "Findings, repeats folded, by severity.", _by("severity", counts.findings_by_severity)),
        gauge("findings_by_state", "Findings, repeats folded, by state.", _by("state", counts.findings_by_state)),
        gauge("agents", "Agents by how they stand.", _by("standing", agents)),
        gauge("open_gaps", "Gaps in agents' records that may still close.", [((), counts.open_gaps)]),
        gauge("suppressions", "Suppression rules.", [((), counts.suppressions)]),
        gauge("newest_change", "The number of the newest change of a finding.", [((), counts.change)]),
    ]


def _by(label: str, counted: Mapping[str, int]) -> list[tuple[Labels, float]]:
    return [(((label, name),), float(number)) for name, number in sorted(counted.items())]


def _escape(text: str, *, quoted: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quoted else escaped


METRICS: Final = Operation(
    method="GET",
    path="/metrics",
    role="read",
    summary="Numbers for Prometheus; for anybody where `metrics_open` is set",
    answer=str,
    media=MEDIA,
)
