"""Each rule is in three places: the pack, a table of near misses here, an attack in the lab; and explains itself."""

import re
from pathlib import Path

import pytest

from outrider_lab.attacks import ATTACKS, LISTED, QUIET
from outrider_sidecar.rulebook import load_rulebook

RULES = load_rulebook().rules
TABLES = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_explains_itself(rule):
    """Every rule says what it sees, misses, might be set off by, and what to do; its finding is well named."""
    for text in (rule.title, rule.desc, rule.sees, rule.misses, rule.noise, rule.remedy):
        assert len(text.strip()) > 10
    assert re.fullmatch(r"[A-Z]\w+:Runtime/[\w.!&]+", rule.finding)
    assert rule.armed


@pytest.mark.parametrize("finding", sorted({rule.finding for rule in RULES}))
def test_a_finding_has_a_table(finding):
    """Every type of finding stands in a table of this folder."""
    assert f'"{finding}"' in TABLES


@pytest.mark.parametrize("finding", sorted({rule.finding for rule in RULES}))
def test_a_finding_has_an_attack(finding):
    """Every type of finding has an attack in the lab that raises it, or (the low ones) a twin that may."""
    raised = {attack.finding for attack in (*ATTACKS, *LISTED)}
    allowed = {name for quiet in QUIET for name in quiet.allowed}
    assert finding in raised | allowed


def test_names_are_unique():
    """Two rules of one name would hide each other."""
    names = [rule.name for rule in RULES]
    assert len(names) == len(set(names))
