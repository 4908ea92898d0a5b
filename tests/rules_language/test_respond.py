"""`respond: deny`: which rules may refuse a start, and what is said of those that may not."""

import pytest

from outrider_rules import RulesError, RuleSource, describe, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.rulebook import builtin_sources

RULE = """- rule: R
  desc: d
  condition: {condition}
  output: "%proc.args"
  priority: INFO
  respond: {respond}
"""
EXEC = "evt.type = execve and proc.is_exe_new = true"


def load(text, *, builtin=False):
    before = builtin_sources() if builtin else []
    return load_rules([*before, RuleSource("mine.yaml", text)], CATALOGUE)


def problem(text):
    with pytest.raises(RulesError) as caught:
        load(text)
    (found,) = caught.value.problems
    return found


def test_a_rule_that_responds_says_so():
    """In the rule and in its row; its output may show what is not known yet."""
    rules = load(RULE.format(condition=EXEC, respond="deny"))
    assert rules.rules[0].respond == "deny"
    assert describe(rules)[0].respond == "deny"
    assert [rule.name for rule in rules.responding().rules] == ["R"]


def test_an_override_makes_one_of_ours_respond():
    """And none does as it comes."""
    assert not load("- list: unused\n  items: []\n", builtin=True).responding().rules
    text = "- rule: New Binary Executed\n  respond: deny\n  override: {respond: replace}\n"
    assert [rule.name for rule in load(text, builtin=True).responding().rules] == ["New Binary Executed"]


def test_a_rule_that_is_off_does_not_respond():
    """Whatever it says."""
    assert not load(RULE.format(condition=EXEC, respond="deny") + "  enabled: false\n").responding().rules


@pytest.mark.parametrize(("word", "hint"), [("dney", "did you mean `deny`?"), ("kill", ""), ("[deny]", "")])
def test_another_response_is_refused_with_its_place(word, hint):
    """And with the nearest that there is."""
    found = problem(RULE.format(condition=EXEC, respond=word))
    assert (found.file, found.line, found.column) == ("mine.yaml", 6, 12)
    assert "deny" in found.message
    assert found.hint == hint


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        (f"{EXEC} and proc.args contains x", "proc.args"),
        (f"{EXEC} and not tolower(proc.cmdline) contains x", "proc.cmdline"),
        (f"{EXEC} and proc.env[LD_PRELOAD] exists", "proc.env[LD_PRELOAD]"),
        (f"{EXEC} and proc.pname = val(proc.name)", "proc.name"),
        (f'{EXEC} and concat(proc.pname, proc.exe) = "x"', "proc.exe"),
    ],
)
def test_what_the_start_itself_sets_cannot_decide_it(condition, field):
    """Refused by the field's name, also below a not, in a transformer and on the right."""
    found = problem(RULE.format(condition=condition, respond="deny"))
    assert f"`{field}`" in found.message
    assert "not known before the program starts" in found.message
    assert (found.line, found.column) == (6, 12)
    assert load(RULE.format(condition=condition, respond="deny").replace("  respond: deny\n", "")).rules


def test_a_field_of_an_ancestor_may_decide_it():
    """What runs already is known."""
    assert load(RULE.format(condition=f"{EXEC} and proc.pcmdline contains x", respond="deny")).responding().rules


def test_a_rule_about_something_else_cannot_refuse_a_start():
    """It would never be asked."""
    found = problem(RULE.format(condition="evt.type = open and fd.name startswith /etc", respond="deny"))
    assert "start of a program" in found.message
