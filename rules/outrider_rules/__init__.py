"""The rule language: Falco's syntax, compiled once, evaluated against any catalogue of fields.

    catalogue = Catalogue([Field("proc.name", "str", lambda event: event.name), …])
    ruleset = load_rules([RuleSource("pack.yaml", text)], catalogue)     # RulesError holds every problem
    for rule in ruleset.evaluate("execve", event):
        print(rule.finding, rule.render(event), rule.evidence(event))

This package imports nothing of ours, knows no field, and reads no file: sources and fields are arguments.
"""

from outrider_rules.arming import Arming, arm, count_states
from outrider_rules.catalogue import Catalogue, Field, Value
from outrider_rules.deciding import Sight, Supply
from outrider_rules.document import RuleSource
from outrider_rules.load import load_rules
from outrider_rules.problems import Problem, RulesError
from outrider_rules.rule import Rule, Severity
from outrider_rules.ruleset import RuleRow, RuleSet, describe

__all__ = [
    "Arming",
    "Catalogue",
    "Field",
    "Problem",
    "Rule",
    "RuleRow",
    "RuleSet",
    "RuleSource",
    "RulesError",
    "Severity",
    "Sight",
    "Supply",
    "Value",
    "arm",
    "count_states",
    "describe",
    "load_rules",
]
