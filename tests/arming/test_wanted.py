"""Sensors that only some rules need: started where an armed rule can hold for what they tell."""

import pytest

from outrider_rules import RuleSource, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.wanted import wants_readings, wants_sockets

RULE = "- rule: one\n  desc: d\n  condition: {condition}\n  output: o\n  priority: NOTICE\n"


def rules(condition: str, more: str = ""):
    text = RULE.format(condition=condition) + more
    return load_rules([RuleSource("one.yaml", text)], CATALOGUE)


def test_the_built_in_pack_wants_neither():
    """So a sidecar without rules of the user's own pays for neither."""
    assert not wants_readings(load_rulebook())
    assert not wants_sockets(load_rulebook())


def test_the_stock_rules_want_both(stock):
    """They ask who reads passwords, and who makes packet sockets."""
    assert wants_readings(stock)
    assert wants_sockets(stock)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("evt.type = open and evt.is_open_read = true and fd.name = /etc/shadow", True),
        ("evt.type in (open, openat) and fd.name startswith /home/", True),
        ("fd.name = /etc/shadow", True),
        ("evt.type = open and evt.is_open_write = true and fd.name = /etc/shadow", False),
        ("evt.type = open and evt.is_open_read = true and fd.name = /srv/secret", False),
        ("evt.type = execve and proc.name = cat", False),
    ],
)
def test_readings_are_wanted_where_a_rule_can_hold_for_one(condition, wanted):
    """Not for writes, nor for files whose reading is never told."""
    assert wants_readings(rules(condition)) is wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("evt.type = socket and evt.arg.domain contains AF_PACKET", True),
        ("evt.type = connect and fd.sport = 443", True),
        ("evt.type = connect and fd.l4proto = tcp", False),
        ("evt.type = accept", False),
        ("evt.type = dns_query", False),
    ],
)
def test_sockets_are_wanted_where_a_rule_can_hold_for_one(condition, wanted):
    """Packet sockets, and UDP sockets with a peer; TCP is the tap's."""
    assert wants_sockets(rules(condition)) is wanted


def test_a_rule_that_is_off_wants_nothing():
    """It would hold, and is not asked."""
    off = rules("evt.type = open and fd.name = /etc/shadow", "  enabled: false\n")
    assert not wants_readings(off)
