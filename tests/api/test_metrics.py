"""Metrics in Prometheus' text format, health and readiness."""

import re
from collections.abc import Iterable

from api_stand import Stand, Teller, make_finding
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.api.counters import BUCKETS_S, Counters
from outrider_collector.api.metrics import PREFIX, counted_here, counter, write_metrics

NAME = re.compile(rf"{PREFIX}[a-z][a-z0-9_]*")
SAMPLE = re.compile(r'([a-z0-9_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\S+)')


def read(text: str) -> dict[str, float]:
    """Samples by name and labels; every line must be of the format, and every metric described before it is given."""
    found: dict[str, float] = {}
    described = ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            described = line.split(" ")[2]
            assert NAME.fullmatch(described)
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == described and line.split(" ")[3] in ("counter", "gauge", "histogram")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1].startswith(described), line
            key = f"{sample[1]}{{{sample[2]}}}" if sample[2] else sample[1]
            assert key not in found
            found[key] = float(sample[3])
    return found


def ask(stand: Stand) -> dict[str, float]:
    """The metrics of a collector, without their prefix."""
    answer = stand.ask("GET", "/metrics", role="read")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {name.removeprefix(PREFIX): value for name, value in read(answer.body.decode()).items()}


def test_what_happens_is_counted(stand: Stand, teller: Teller) -> None:
    """Batches by outcome and size, refusals by code, requests by operation; the spool, the index, the store."""
    before = ask(stand)
    sealed = teller.seal(make_finding("counted"))
    for _ in range(2):
        assert (
            stand.ask("POST", "/v1/batches", sealed.data, Content_Type="application/vnd.outrider.batch").status == 200
        )
    assert stand.ask("POST", "/v1/batches", b"x", Content_Type="application/vnd.outrider.batch").status == 400
    assert stand.ask("GET", "/v1/findings?limit=0").status == 400
    stand.find("counted")
    after = ask(stand)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert more('batches_total{outcome="accepted"}') == more('batches_total{outcome="duplicate"}') == 1
    assert more("batch_bytes_total") == 2 * len(sealed.data)
    assert more('refusals_total{code="bad-magic"}') == more('refusals_total{code="bad-request"}') == 1
    assert more('requests_total{operation="get_v1_findings",status="400"}') == 1
    assert more("batch_answer_seconds_count") == 2 == more('batch_answer_seconds_bucket{le="+Inf"}')
    assert after["spool_bytes"] >= before["spool_bytes"] + len(sealed.data) and after["index_lag_bytes"] == 0
    assert {'findings{severity="HIGH"}', 'findings_by_state{state="new"}', "newest_change"} <= set(after)


def test_a_collector_says_that_it_lives_and_is_ready(stand: Stand) -> None:
    """To anybody."""
    assert stand.ask("GET", "/healthz", role=None).json == {"ok": True}
    ready = stand.ask("GET", "/readyz", role=None)
    assert (ready.status, ready.json["ready"], ready.json["store"]) == (200, True, "")


@given(st.dictionaries(st.text(max_size=20), st.floats(0, 1e18) | st.integers(0, 1 << 62), max_size=5))
def test_any_label_is_one_line(values: dict[str, float]) -> None:
    """Quotes, backslashes and line breaks are escaped."""
    labels = [((("code", name),), value) for name, value in values.items()]
    assert len(read(write_metrics([counter("x_total", "y\nz", labels)]))) == len(values)


@given(st.lists(st.floats(0, 10), max_size=30))
def test_a_histogram_adds_up(times: Iterable[float]) -> None:
    """Each bucket holds all that are no longer than its edge."""
    counters = Counters()
    times = list(times)
    for each in times:
        counters.answered("accepted", 1, each)
    found = read(write_metrics(counted_here(counters)))
    for edge in BUCKETS_S:
        bucket = f'{PREFIX}batch_answer_seconds_bucket{{le="{edge}"}}'
        assert found[bucket] == sum(each <= edge for each in times)
    assert found[f"{PREFIX}batch_answer_seconds_count"] == len(times)
