"""Falco's stock rules with the real catalogue: all load unchanged, each stands as it should, none is silently dead."""

import pytest
import stock_states

from outrider_rules import RuleSet, arm, count_states
from outrider_sidecar.fields.supply import best_sight
from outrider_sidecar.rulebook import PACKS, rules_capability
from outrider_sidecar.world.kinds import EVENT_TYPES

EXPECTED = {
    **dict.fromkeys(stock_states.ARMED, "armed"),
    **dict.fromkeys(stock_states.SUBSTITUTED, "substituted"),
    **dict.fromkeys(stock_states.BLIND, "blind"),
}
WORKED_OUT = {"unshare", "setns", "ptrace", "socket"}
"""Rare calls that a sensor tells of in its own way."""


def test_all_stock_rules_load_unchanged(stock: RuleSet) -> None:
    """93 of Falco's, besides our own."""
    ours = [rule for rule in stock.rules if rule.file in PACKS]
    assert len(stock) - len(ours) == 93 and len(ours) >= 9


@pytest.mark.parametrize("name", EXPECTED)
def test_a_stock_rule_stands_as_expected_in_a_task(stock: RuleSet, name: str) -> None:
    """Armed, armed by substitution, or blind; and where it is not simply armed, it is said why."""
    arming = next(arming for arming in arm(stock, best_sight("task")) if arming.rule == name)
    assert arming.state == EXPECTED[name], arming.reasons
    assert bool(arming.reasons) == (arming.state != "armed")


def test_the_table_has_every_stock_rule(stock: RuleSet) -> None:
    """No rule of the files is left out, and none twice."""
    names = {rule.name for rule in stock.rules if rule.file not in PACKS}
    assert names == set(EXPECTED)
    assert len(EXPECTED) == sum(map(len, (stock_states.ARMED, stock_states.SUBSTITUTED, stock_states.BLIND)))


def test_every_armed_rule_meets_an_event_that_a_sensor_gives(stock: RuleSet) -> None:
    """The engine hands it at least one type of event that our sensors give rise to: it is not silently dead."""
    for arming in arm(stock, best_sight("task")):
        if arming.enabled and arming.state != "blind":
            assert arming.event_types
            assert set(arming.event_types) <= EVENT_TYPES | WORKED_OUT
            for event_type in arming.event_types:
                assert arming.rule in [rule.name for rule in stock.rules_for(event_type)]


def test_a_blind_rule_meets_no_event_or_says_what_is_missing(stock: RuleSet) -> None:
    """Each blind rule names the event or field that is missing."""
    for arming in arm(stock, best_sight("task")):
        if arming.state == "blind":
            assert not arming.event_types
            assert all(len(reason) > 20 for reason in arming.reasons)


def test_where_nothing_can_be_seen_every_rule_is_blind(stock: RuleSet) -> None:
    """Without any sensor nothing is armed."""
    from outrider_sidecar.fields.supply import sight_of

    states = {arming.state for arming in arm(stock, sight_of([], mode="task"))}
    assert states == {"blind"}


def test_the_collector_is_told_the_counts_and_the_blind_rules(stock: RuleSet) -> None:
    """As one capability, whose reason a batch carries."""
    armings = arm(stock, best_sight("task"))
    told = rules_capability(armings)
    counts = count_states(armings)
    assert (told.sense, told.available) == ("rules", True)
    assert told.reason.startswith(f"{counts['armed']} armed, {counts['substituted']} armed by substitution")
    assert "BPF Program Not Profiled" in told.reason
