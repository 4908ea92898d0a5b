"""The stock actions as written: each named after a rule there is, each telling its pid and undoing what it did."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from outrider_lab.attacks.falco import ACTIONS
from outrider_lab.attacks.falco.action import Action, actor_of, script_of
from outrider_lab.attacks.falco.stage import STOCK_FILES, all_on
from outrider_lab.attacks.falco.table import HOST_HEADING, put_part, render
from outrider_lab.compatibility import Outcome
from outrider_wire.findings import Finding


def camel_case(rule: str) -> str:
    """The generator's name for the action of a rule."""
    words = re.sub(r"[^A-Za-z0-9]+", " ", rule).split()
    return "".join(word[:1].upper() + word[1:] for word in words)


def test_each_action_is_named_after_its_rule():
    """The name is the rule's, written together."""
    for action in ACTIONS:
        assert action.name.lower() == camel_case(action.rule).lower()


def test_no_action_is_listed_twice():
    """Sixty-six, each once."""
    assert len({action.name for action in ACTIONS}) == len(ACTIONS) == 66


def test_each_rule_is_one_of_the_stock_rules(rules):
    """An action after a rule that is not there could never be caught."""
    stock = {
        item["rule"] for name in STOCK_FILES for item in yaml.safe_load((rules / name).read_text()) if "rule" in item
    }
    assert {action.rule for action in ACTIONS} <= stock


def test_what_is_not_played_says_why():
    """An action without an act has a reason."""
    assert all(action.blind for action in ACTIONS if not action.act)


def test_what_a_file_leaves_off_is_turned_on_and_nothing_else():
    """The file of ours overrides `enabled` of the rules that are off, and no other key of any rule."""
    stock = b"- rule: a\n  enabled: false\n- rule: b\n- rule: c\n  enabled: true\n- macro: m\n  condition: evt.num=0\n"
    assert yaml.safe_load(all_on([stock])) == [{"rule": "a", "enabled": True, "override": {"enabled": "replace"}}]
    assert yaml.safe_load(all_on([b"- rule: b\n"])) == []


def run(action: Action) -> subprocess.CompletedProcess[str]:
    script = script_of(action, host="127.0.0.1", python=sys.executable).replace("sleep 0.3", ":")
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10, check=False)


def test_the_pid_that_is_printed_is_that_of_the_act(tmp_path):
    """The shell that prints it becomes the program."""
    told = tmp_path / "pid"
    act = f"""{{python}} -c 'import os; open("{told}", "w").write(str(os.getpid()))'"""
    done = run(Action(name="A", rule="a", idea="", act=act))
    assert actor_of(done.stdout) == int(told.read_text())
    assert "code=0" in done.stdout


def test_a_missing_program_is_said_and_ends_with_77():
    """So that a machine without it skips and does not fail."""
    done = run(Action(name="A", rule="a", idea="", act="true", tools=("no-such-program-here",)))
    assert (done.returncode, done.stdout) == (77, "no-such-program-here is missing\n")


def test_a_failing_act_is_undone_all_the_same(tmp_path):
    """What was prepared goes even where the act did not work."""
    made = tmp_path / "made"
    done = run(Action(name="A", rule="a", idea="", prepare=f"touch {made}", act="false", undo=f"rm {made}"))
    assert "code=1" in done.stdout
    assert not made.exists()


@pytest.mark.parametrize("output", ["", "actor=\n", "actor=x\n", "factor=3\n"])
def test_a_pid_that_was_not_printed_is_none(output):
    """Nothing is guessed."""
    assert actor_of(output) == 0


def test_the_table_tells_what_was_caught_and_why_the_rest_was_not():
    """Counts, the manner of knowing the process, and the reason."""
    caught = Action(name="CaughtOne", rule="caught one", idea="a | b", act="true")
    missed = Action(name="MissedOne", rule="missed one", idea="c", blind="it is not seen", needs="host")
    finding = Finding(
        id="1",
        type="t",
        rule="caught one",
        severity="LOW",
        title="t",
        at="",
        process=None,
        container=None,
        evidence={},
        attribution="inferred",
    )
    text = render([Outcome(caught, True, 7, finding), Outcome(missed, note=missed.blind)])
    assert "**1 of the 2 actions trip their rule.** Of the 1 that need" in text
    assert r"| CaughtOne | caught one | a \| b |  | not known | inferred |" in text
    assert "| MissedOne | missed one | c | host | it is not seen |" in text


def test_each_part_of_the_document_is_written_by_itself():
    """Playing in one mode leaves what the other wrote."""
    task, host = render([], "task"), render([], "host")
    both = put_part(task, "host", host)
    assert both.startswith("# Falco's stock rules, tried")
    assert both.count(HOST_HEADING) == 1
    assert put_part(both, "task", task) == both == put_part(both, "host", host)


@pytest.mark.parametrize("part", ["task", "host"])
def test_the_written_list_has_every_action_once(part: str):
    """docs/falco-compatibility.md is generated by playing; an action that was added since is missed there."""
    written = (Path(__file__).parents[2] / "docs" / "falco-compatibility.md").read_text()
    task, _, host = written.partition(HOST_HEADING)
    listed = re.findall(r"^\| ([A-Z]\w+) \|", host if part == "host" else task, re.MULTILINE)
    assert sorted(listed) == sorted(action.name for action in ACTIONS)
