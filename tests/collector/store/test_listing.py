"""Pages of findings: what a filter finds is what a look at each would, in order, page by page, on both engines."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outrider_collector.store import filtering, fulltext, listing
from outrider_collector.store.database import open_database
from outrider_collector.store.filtering import FindingFilter
from outrider_collector.store.listing import ListQuery, list_findings
from outrider_collector.store.stored import RANKS, StoredFinding
from outrider_collector.store.triage import archive, assign
from outrider_wire.errors import WireError

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND

TYPES = (
    "Execution:Runtime/ReverseShell",
    "Execution:Runtime/NewBinaryExecuted",
    "CryptoCurrency:Runtime/BitcoinTool.B!DNS",
)
FILTERS: list[dict[str, Any]] = [
    {},
    {"severities": ("HIGH",)},
    {"severities": ("HIGH", "LOW")},
    {"states": ("archived",)},
    {"states": ("new", "suppressed"), "severities": ("LOW",)},
    {"type_prefix": "Execution:"},
    {"type_prefix": TYPES[2]},
    {"type_prefix": "execution"},
    {"rule": "Reverse Shell"},
    {"family": "web", "container": "app"},
    {"cluster": "prod", "account": "123456789012", "region": "eu-west-1"},
    {"region": "us-east-1"},
    {"image": "repo/app:1", "process": "sh"},
    {"executable": "/opt/tools/xmrig"},
    {"assignee": "ann"},
    {"assignee": "ann", "severities": ("MEDIUM",)},
    {"since_ns": NOW_NS - 100 * SECOND, "until_ns": NOW_NS - 50 * SECOND},
    {"text": "xmrig"},
    {"text": "XMR* opt"},
    {"text": "xmr"},
    {"text": "she* execut*", "states": ("new",)},
    {"text": "shell", "family": "api"},
    {"text": "nothing such"},
    {"text": "/opt/tools/", "type_prefix": "Execution", "severities": ("HIGH",)},
    {"task": "arn:aws:ecs:eu-west-1:123456789012:task/prod/web-3"},
    {"task": "arn:aws:ecs:eu-west-1:123456789012:task/prod/web-3", "text": "shell", "family": "web"},
]


@pytest.fixture
def filled(store: Any) -> Any:
    """A store with some hundred findings of all kinds."""
    chance = random.Random(5)
    told = [
        store.finding(
            family=chance.choice(("web", "api", "jobs")),
            task=chance.choice("123456"),
            container=chance.choice(("app", "log")),
            exe=chance.choice(("/bin/sh", "/opt/tools/xmrig", "/usr/bin/curl")),
            type=chance.choice(TYPES),
            severity=chance.choice(("LOW", "MEDIUM", "HIGH")),
            at_ns=NOW_NS - chance.randrange(40) * 5 * SECOND,
            evidence={"proc.new_file": f"/tmp/{n % 40}"},
        )
        for n in range(300)
    ]
    for begin in range(0, 300, 60):
        store.tell(*told[begin : begin + 60])
    ids = [each.id for each in store.all()]
    store.write(archive, ids[::7], who="ann", at_ns=NOW_NS)
    store.write(assign, ids[::5], to="ann", who="ann", at_ns=NOW_NS)
    return store


def has_word(said: str, asked: str) -> bool:
    """Whether a word is there, or the beginning of one."""
    words = re.split(r"[\W_]+", said)
    return any(word.startswith(asked[:-1]) if asked.endswith("*") else word == asked for word in words)


def passes(found: StoredFinding, asked: FindingFilter, arns: dict[int, set[str]]) -> bool:
    """The filter again, said plainly."""
    finding = found.finding
    assert finding.process and finding.container and finding.task
    equal = {
        "rule": finding.rule, "account": found.account, "region": found.region, "cluster": found.cluster,
        "family": finding.task.family, "container": finding.container.name, "image": finding.container.image,
        "process": finding.process.name, "executable": finding.process.exe, "assignee": found.assignee,
    }  # fmt: skip
    said = " ".join([finding.type, finding.title, finding.rule, finding.process.exe, finding.process.cmdline]).lower()
    return (
        all(value == getattr(asked, name) for name, value in equal.items() if getattr(asked, name))
        and (not asked.severities or finding.severity in asked.severities)
        and (not asked.states or found.state in asked.states)
        and finding.type.startswith(asked.type_prefix)
        and asked.since_ns <= found.last_seen_ns < asked.until_ns
        and (not asked.task or asked.task in arns[found.number])
        and all(has_word(said, word) for word in asked.text.lower().replace("/", " ").split())
    )


@pytest.mark.parametrize("few", [0, 100_000])
def test_a_filter_finds_what_it_says(filled: Any, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """By either way of putting it: looked up, or compared on a walk."""
    from outrider_collector.store.stored import load_occurrences

    everything = filled.all()
    assert len(everything) > 150
    arns = {f.number: {o.task_arn for o in filled.read(load_occurrences, f.number)} for f in everything}
    monkeypatch.setattr(filtering, "FEW", few)
    sizes = set()
    for given in FILTERS:
        asked = FindingFilter(**given)
        expected = [each for each in everything if passes(each, asked, arns)]
        assert filled.all(**given) == expected, given
        sizes.add(len(expected))
        by_severity = filled.read(list_findings, ListQuery(filter=asked, sort="severity", limit=1000)).findings
        order = [(-RANKS[f.finding.severity], -f.last_seen_ns, -f.number) for f in by_severity]
        assert order == sorted(order) and {f.id for f in by_severity} == {f.id for f in expected}
    assert len(sizes) > 10, "the filters hardly filter"


@pytest.mark.parametrize("sort", ["last_seen", "severity"])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_pages_are_the_whole_in_pieces(filled: Any, sort: listing.Sort, size: int) -> None:
    """Nothing twice, nothing left out, and the last page says that it is."""
    asked = FindingFilter(type_prefix="Execution")
    whole = filled.read(list_findings, ListQuery(filter=asked, sort=sort, limit=1000)).findings
    found, cursor = [], ""
    while True:
        page = filled.read(list_findings, ListQuery(filter=asked, sort=sort, limit=size, cursor=cursor))
        found += page.findings
        cursor = page.next
        if not cursor:
            break
        assert len(page.findings) == size and cursor.replace("-", "").replace("_", "").isalnum()
    assert found == whole


@pytest.mark.parametrize("cursor", ["x", "é", "====", "W10", "WyJsYXN0X3NlZW4iLDEsLTEsLTFd", "a" * 500])
def test_a_cursor_that_is_none_of_ours_is_refused(store: Any, cursor: str) -> None:
    """Whatever it is, it is the asker's mistake."""
    with pytest.raises(WireError, match="bad-request"):
        store.read(list_findings, ListQuery(cursor=cursor))


def test_a_cursor_of_another_order_is_refused(filled: Any) -> None:
    """It would begin at the wrong place."""
    page = filled.read(list_findings, ListQuery(limit=5))
    with pytest.raises(WireError, match="another order"):
        filled.read(list_findings, ListQuery(limit=5, sort="severity", cursor=page.next))


def test_without_the_full_text_index_words_are_found_too(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SQLite without FTS5 compares."""
    monkeypatch.setattr(fulltext, "has_fts5", lambda connection: False)
    bare = replace(store, engine=open_database(tmp_path / "bare.sqlite"))
    bare.tell(store.finding(exe="/opt/xmrig"), store.finding())
    assert [each.finding.process.exe for each in bare.all(text="xmr*")] == ["/opt/xmrig"]
    bare.engine.dispose()
