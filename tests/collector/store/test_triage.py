"""Triage: what people do to findings stays until the findings happen again, and the audit log knows who did it."""

from typing import Any

import pytest

from outrider_collector.store.audit import AuditFilter, list_audit
from outrider_collector.store.feed import newest_change
from outrider_collector.store.stored import load_finding, read_changes
from outrider_collector.store.triage import MAX_CHANGED, add_note, archive, assign, load_notes, reopen

SECOND = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND


def test_an_archived_finding_comes_back_when_it_happens_again(store: Any) -> None:
    """It is new then, and the log says by whom: the collector."""
    store.tell(store.finding())
    (done,) = store.write(archive, [store.one().id], who="ann", at_ns=NOW_NS + SECOND, why="known test")
    assert store.one().state == "archived" and store.all(states=("new",)) == []
    store.tell(store.finding(at_ns=NOW_NS), at_ns=NOW_NS + 5 * SECOND)
    assert (store.one().state, store.one().count) == ("archived", 2), "it came late but happened before"
    store.tell(store.finding(at_ns=NOW_NS + 2 * SECOND), at_ns=NOW_NS + 5 * SECOND)
    assert (store.one().state, store.one().count) == ("new", 3)
    log = store.read(list_audit, AuditFilter(subject=done))
    assert [(each.action, each.who) for each in log] == [("finding.reopen", "collector"), ("finding.archive", "ann")]
    assert log[1].detail == {
        "why": "known test",
        "before": '{"state":"new","assignee":""}',
        "after": '{"state":"archived","assignee":""}',
    }


def test_each_change_is_in_the_feed_and_in_the_log(store: Any) -> None:
    """Archived, reopened, assigned, noted: a reader of the feed sees each; what changes nothing is not told."""
    store.tell(store.finding(), store.finding(family="api"))
    first, second = store.all()
    steps = [
        (archive, {}, "archived", ""),
        (reopen, {}, "new", ""),
        (assign, {"to": "bob"}, "new", "bob"),
    ]
    for number, (what, given, state, assignee) in enumerate(steps):
        cursor = store.read(newest_change)
        assert store.write(what, [first.id, "f" * 32], who="ann", at_ns=number, **given) == [first.id]
        (changed,) = store.read(read_changes, cursor)
        assert (changed.id, changed.state, changed.assignee) == (first.id, state, assignee)
        assert store.write(what, [first.id], who="ann", at_ns=number, **given) == []
    assert store.read(load_finding, second.id) == second
    log = store.read(list_audit, AuditFilter())
    assert [each.action for each in log] == ["finding.assign", "finding.reopen", "finding.archive"]
    assert store.read(list_audit, AuditFilter(before=log[0].number, since_ns=1, until_ns=2)) == [log[1]]
    assert store.read(list_audit, AuditFilter(who="bob")) == []


def test_notes_are_kept_in_order(store: Any) -> None:
    """Who, when, what; hostile text as it came but for what no column takes."""
    store.tell(store.finding())
    found = store.one()
    for at_ns, said in enumerate(("looks bad", "it's <b>fine</b>\0")):
        assert store.write(add_note, found.id, said, who="ann", at_ns=at_ns).said
    notes = store.read(load_notes, found.number)
    assert [(each.who, each.at_ns, each.said) for each in notes] == [
        ("ann", 0, "looks bad"),
        ("ann", 1, "it's <b>fine</b>\N{REPLACEMENT CHARACTER}"),
    ]
    assert store.one().change > found.change
    assert store.write(add_note, "f" * 32, "nothing there", who="ann", at_ns=1) is None


def test_too_many_at_once_are_refused(store: Any) -> None:
    """Before anything is changed."""
    with pytest.raises(ValueError, match="at most"):
        store.write(archive, ["f" * 32] * (MAX_CHANGED + 1), who="ann", at_ns=1)
