"""Reading findings: the client against a real collector, and tables that nothing hostile can break."""

import time
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.api.views import view_finding
from outrider_collector.client import Client
from outrider_collector.render import agents_table, findings_table, fit
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import ConfigError, DeliveryError, WireError
from outrider_wire.findings import Finding

TOKEN = "a-token-for-tests"


def shown_columns(line: str) -> int:
    """How many terminal columns a line takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


def test_the_client_reads_what_agents_said(collector: Any, speaker: Any, finding: Callable[..., Finding]) -> None:
    """Findings as structs, a cursor to go on from, and the agents."""
    one = speaker()
    client = Client(collector.url, TOKEN)
    cursor = client.told().cursor
    collector.enrol(one.request())
    collector.send(one.say(finding("a"), finding("b")).data)
    deadline = time.monotonic() + 5.0
    page = client.told(after=cursor, type_prefix="Execution:")
    while not page.findings and time.monotonic() < deadline:  # the index is a moment behind the answer
        page = client.told(after=cursor, type_prefix="Execution:")
    assert [each.id for each in page.findings] == ["a", "b"]
    assert client.told(after=page.cursor).findings == []
    (folded,) = client.findings(type="Execution:", rule="x").findings
    assert (folded.count, folded.latest.id) == (2, "b")
    assert one.key.agent in {agent.agent for agent in client.agents().agents}
    assert one.key.agent[:12] in agents_table(client.agents().agents, width=100)


def test_the_client_says_who_is_at_fault(collector: Any) -> None:
    """A wrong token is the collector's word, an absent collector the network's, a wrong address the operator's."""
    with pytest.raises(WireError, match="unauthorized"):
        Client(collector.url, "wrong").findings()
    with pytest.raises(DeliveryError):
        Client("http://127.0.0.1:1", TOKEN).agents()
    with pytest.raises(ConfigError):
        Client("collector", TOKEN)


@given(st.text(max_size=60), st.integers(0, 40))
def test_any_text_fits_exactly(text: str, columns: int) -> None:
    """Printable, and as wide as asked."""
    shown = fit(text, columns)
    assert shown_columns(shown) == columns and shown.isprintable()


@given(st.lists(st.text(max_size=200), min_size=5, max_size=5), st.integers(0, 200))
def test_a_table_keeps_its_lines_and_its_width(texts: list[str], width: int) -> None:
    """Whatever a finding says, it is one line, nothing in it moves the cursor, and it fits the terminal."""
    name, title, kind, at, description = texts
    hostile = Finding(
        id="x", type=kind, rule=name, severity="HIGH", title=title, at=at, process=None, container=None, evidence={},
        attribution="exact", description=description,
    )  # fmt: skip
    stored = StoredFinding(
        id=name, number=1, change=1, count=1, first_seen_ns=0, last_seen_ns=0, state="new", archived_at_ns=0,
        suppressed_by=0, assignee=name, account=name, region=name, cluster=name, finding=hostile,
    )  # fmt: skip
    lines = findings_table([view_finding(stored)] * 2, width=width).split("\n")
    assert len(lines) == 3
    assert all(line.isprintable() and shown_columns(line) <= max(width, 60) for line in lines)
