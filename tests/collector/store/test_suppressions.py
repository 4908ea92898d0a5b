"""Suppression: rules keep findings from those who triage, for a time; nothing is lost by it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.store import suppressions
from outrider_collector.store.audit import AuditFilter, list_audit
from outrider_collector.store.stored import read_changes
from outrider_collector.store.suppressing import Condition, check_conditions, holds
from outrider_collector.store.suppressions import (
    add_suppression,
    apply_suppression,
    list_suppressions,
    release_suppression,
    remove_suppression,
)
from outrider_collector.store.triage import archive
from outrider_wire.findings import ContainerView, Finding, TaskView

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND
BY_FAMILY = [Condition("family", "=", "web")]


def add(store: Any, conditions: list[Condition] = BY_FAMILY, **given: Any) -> int:
    """Make a rule, and give its number."""
    number: int = store.write(add_suppression, conditions, who="ann", why="noise", at_ns=NOW_NS, **given).number
    return number


def test_what_matches_is_suppressed_and_counted(store: Any) -> None:
    """From the rule on; what does not match stays new."""
    number = add(store)
    store.tell(store.finding(), store.finding(), store.finding(family="api"))
    (found,) = store.all(states=("suppressed",))
    assert (found.count, found.suppressed_by) == (2, number)
    assert [each.finding.task.family for each in store.all(states=("new",))] == ["api"]


def test_expiry_brings_later_ones_back(store: Any) -> None:
    """At the first occurrence after it; so does removing the rule."""
    add(store, expires_at_ns=NOW_NS + 10 * SECOND)
    store.tell(store.finding(), at_ns=NOW_NS + 9 * SECOND)
    assert store.one().state == "suppressed"
    store.tell(store.finding(at_ns=NOW_NS + 11 * SECOND), at_ns=NOW_NS + 11 * SECOND)
    assert (store.one().state, store.one().suppressed_by, store.one().count) == ("new", 0, 2)
    number = add(store)
    store.tell(store.finding(), at_ns=NOW_NS + 12 * SECOND)
    assert store.one().suppressed_by == number
    assert store.write(remove_suppression, number, who="bob", at_ns=NOW_NS)
    assert not store.write(remove_suppression, number, who="bob", at_ns=NOW_NS)
    store.tell(store.finding(), at_ns=NOW_NS + 13 * SECOND)
    assert (store.one().state, store.one().count) == ("new", 4)


def test_a_rule_is_applied_on_demand(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To new ones only; released they are new again. Both are in the feed and in the log."""
    monkeypatch.setattr(suppressions, "CHUNK", 2)
    store.tell(*(store.finding(exe=f"/bin/{n}") for n in range(5)), store.finding(family="api"))
    archived = store.all(executable="/bin/3")[0].id
    store.write(archive, [archived], who="ann", at_ns=NOW_NS)
    number = add(store, [*BY_FAMILY, Condition("executable", "glob", "/bin/[0-9]")])
    cursor = store.read(read_changes, 0)[-1].change
    assert apply_suppression(store.engine, number, who="ann", at_ns=NOW_NS) == 4
    assert {each.suppressed_by for each in store.read(read_changes, cursor)} == {number}
    assert len(store.all(states=("suppressed",))) == 4 and len(store.all(states=("archived",))) == 1
    assert apply_suppression(store.engine, number, who="ann", at_ns=NOW_NS) == 0
    assert release_suppression(store.engine, number, who="bob", at_ns=NOW_NS) == 4
    assert len(store.all(states=("new",))) == 5
    log = [(each.action, each.who, each.detail.get("findings")) for each in store.read(list_audit, AuditFilter())]
    assert log[:3] == [
        ("suppression.release", "bob", "4"),
        ("suppression.apply", "ann", "0"),
        ("suppression.apply", "ann", "4"),
    ]
    assert apply_suppression(store.engine, 999_999, who="ann", at_ns=NOW_NS) == 0


def test_rules_are_listed_with_who_and_why(store: Any) -> None:
    """Those that were removed only where asked for."""
    first, second = add(store), add(store, [Condition("type", "startswith", "Execution:")])
    store.write(remove_suppression, first, who="bob", at_ns=NOW_NS + 1)
    (rule,) = store.read(list_suppressions)
    assert (rule.number, rule.who, rule.why, rule.made_at_ns) == (second, "ann", "noise", NOW_NS)
    both = store.read(list_suppressions, removed=True)
    assert [(each.number, each.removed_at_ns) for each in both] == [(first, NOW_NS + 1), (second, 0)]


FINDING = Finding(
    id="x", type="Execution:Runtime/X", rule="X", severity="LOW", title="t", at="", process=None,
    container=ContainerView("c", "app", "repo/app:1.2"), attribution="exact", tags=["drift", "T1204"],
    evidence={"dns.name": "a.pool.example", "new": True, "n": 5, "names": ["a", "b"], "none": None},
    task=TaskView("arn:aws:ecs:eu-west-1:123456789012:task/prod/1", family="web"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("rule", "=", "X", True),
        ("rule", "=", "x", False),
        ("rule", "!=", "Y", True),
        ("rule", "!=", "X", False),
        ("image", "startswith", "repo/", True),
        ("image", "contains", "app:", True),
        ("image", "glob", "*:1.?", True),
        ("image", "glob", "*:2.?", False),
        ("family", "in", ["api", "web"], True),
        ("family", "in", ["api"], False),
        ("account", "=", "123456789012", True),
        ("region", "=", "eu-west-1", True),
        ("cluster", "=", "prod", True),
        ("tags", "=", "T1204", True),
        ("tags", "!=", "T1204", False),
        ("tags", "in", ["T1", "drift"], True),
        ("process", "=", "", True),
        ("parent", "!=", "sh", True),
        ("evidence.dns.name", "glob", "*.pool.example", True),
        ("evidence.new", "=", "true", True),
        ("evidence.n", "=", "5", True),
        ("evidence.names", "=", "b", True),
        ("evidence.none", "=", "", True),
        ("evidence.absent", "contains", "x", False),
    ],
)
def test_conditions_hold_as_they_say(field: str, operator: Any, value: Any, expected: bool) -> None:
    """For every operator, text, lists, and what a finding lacks."""
    condition = Condition(field, operator, value)
    check_conditions([condition])
    assert holds(condition, FINDING) is expected


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [Condition("nonsense", "=", "x")],
        [Condition("evidence.", "=", "x")],
        [Condition("rule", "in", "x")],
        [Condition("rule", "=", ["x"])],
        [Condition("rule", "=", "x")] * 17,
    ],
)
def test_what_is_no_rule_is_refused(store: Any, conditions: list[Condition]) -> None:
    """None at all would suppress everything."""
    with pytest.raises(ValueError):
        add(store, conditions)


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_pattern_is_matched_in_time(text: str, pattern: str) -> None:
    """A glob of stars against a long text is no weapon, and whatever it is, it holds or not."""
    from msgspec.structs import replace

    said = replace(FINDING, description=text + "a" * 2000)
    for glob in (pattern, "*a" * 30 + "b", "[" + pattern):
        assert holds(Condition("description", "glob", glob), said) in (True, False)
