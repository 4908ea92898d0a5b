"""How a rule stands is worked out of its own condition."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_cli.main import main
from outrider_rules import Arming, Catalogue, Field, RuleSource, Sight, Supply, arm, count_states, load_rules
from outrider_sidecar.fields.catalogue import CATALOGUE
from outrider_sidecar.fields.supply import SENSORS, best_sight, sight_of

RULE = "- rule: R\n  desc: d\n  output: x\n  priority: INFO\n  condition: >\n    {}\n"


def stands(condition: str, sight: Sight | None = None) -> Arming:
    """How a rule of one condition stands in a task."""
    rules = load_rules([RuleSource("a.yaml", RULE.format(condition))], CATALOGUE)
    return arm(rules, sight or best_sight("task"))[0]


@pytest.mark.parametrize(
    ("condition", "state", "why"),
    [
        ("evt.type = execve and proc.name = x", "armed", ""),
        ("evt.type in (execve, execveat)", "armed", ""),
        ("evt.type = execveat", "armed", ""),
        ("evt.type = connect and fd.sport = 1", "armed", ""),
        ("proc.name = x", "substituted", "open"),
        ("evt.type = openat and evt.is_open_write = true", "substituted", "inferred"),
        ("evt.type = openat and evt.is_open_read = true and fd.name = /etc/shadow", "substituted", "short list"),
        ("evt.type = openat and evt.is_open_read = true and fd.name = /srv/x", "blind", "short list"),
        ("evt.type = openat and evt.is_open_read = true and fd.name startswith /home/a/", "substituted", "short list"),
        ("evt.type = open and evt.is_open_write = true and fd.name startswith /proc/", "blind", "/proc"),
        ("evt.type = bpf", "blind", "bpf"),
        ("evt.type = no_such_call", "blind", "no_such_call"),
        ("evt.type in (execve, bpf)", "substituted", "bpf"),
        ("evt.type = execve and k8s.ns.name = x", "blind", "Kubernetes"),
        ("evt.type = execve and not k8s.ns.name = x", "substituted", "Kubernetes"),
        ("evt.type = execve and (proc.name = a or k8s.ns.name = x)", "substituted", "Kubernetes"),
        ("evt.type = execve and evt.res != SUCCESS", "blind", "failed"),
        ("evt.type = execve and proc.vpid = 1", "substituted", "PID namespace"),
        ("evt.type = execve and container.id = host", "blind", "container"),
        ("evt.type = execve and not container.id != host", "blind", "container"),
        ("evt.type = execve and fd.name = x", "blind", "can hold for no event"),
        ("evt.type = ptrace and evt.arg.request = PTRACE_TRACEME", "blind", "PTRACE_SEIZE"),
        ("evt.type = socket and evt.arg.domain contains AF_PACKET", "substituted", "0.2 s"),
        ("evt.num = 0 and evt.type = execve", "armed", ""),
    ],
)
def test_a_condition_stands_by_what_it_needs(condition: str, state: str, why: str) -> None:
    """The event, the field, or the value that is missing or weaker is named."""
    arming = stands(condition)
    assert (arming.state, bool(arming.reasons)) == (state, bool(why)), arming.reasons
    assert not why or any(why in reason for reason in arming.reasons), arming.reasons


def test_without_the_tap_connections_are_blind() -> None:
    """A sensor that is not to be had is named."""
    sight = sight_of(SENSORS["task"] - {"packet"}, mode="task")
    arming = stands("evt.type = connect", sight)
    assert arming.state == "blind"
    assert "packet" in arming.reasons[0]


def test_a_watched_command_is_in_no_container() -> None:
    """A rule about containers is blind there, and one that is not is armed."""
    assert stands("evt.type = execve and container.id != host", best_sight("watch")).state == "blind"
    assert stands("evt.type = execve and container.id = host", best_sight("watch")).state == "armed"


def test_a_rule_that_is_off_stands_as_if_it_were_on() -> None:
    """It is counted as off, and would be armed."""
    text = RULE.format("evt.type = execve") + "  enabled: false\n"
    armings = arm(load_rules([RuleSource("a.yaml", text)], CATALOGUE), best_sight("task"))
    assert (armings[0].state, armings[0].enabled) == ("armed", False)
    assert count_states(armings) == {"armed": 0, "substituted": 0, "blind": 0, "off": 1}


def test_a_rule_for_another_source_is_blind() -> None:
    """Its own reason is told."""
    text = RULE.format("evt.type = execve") + "  source: k8s_audit\n"
    arming = arm(load_rules([RuleSource("a.yaml", text)], CATALOGUE), best_sight("task"))[0]
    assert arming.state == "blind"
    assert "k8s_audit" in arming.reasons[0]


VALUES = st.sampled_from(("a", "ab", "b"))
ATOMS = st.builds(
    lambda name, operator, value: f"{name} {operator} {value}",
    st.sampled_from(("x.fixed", "x.free", "x.lacking", "x.some")),
    st.sampled_from(("=", "!=", "contains", "startswith")),
    VALUES,
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a} and {b})", inner, inner),
        st.builds(lambda a, b: f"({a} or {b})", inner, inner),
        st.builds(lambda a: f"not ({a})", inner),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(condition=CONDITIONS, free=VALUES, some=st.sampled_from(("a", "ab")))
def test_a_rule_that_can_hold_is_never_called_blind(condition: str, free: str, some: str) -> None:
    """Whatever the condition: where some possible event makes it hold, it is armed."""

    def get(name: str) -> Field:
        return Field(f"x.{name}", "str", lambda context: context.get(name), doc="d")

    fields = [
        Field("evt.type", "str", lambda context: "t", doc="d"),
        Field("x.fixed", "str", lambda context: "a", always={"t": "a"}, doc="d"),
        Field("x.lacking", "str", lambda context: None, lacking="nobody tells", doc="d"),
        get("free"),
        get("some"),
    ]
    rules = load_rules([RuleSource("a.yaml", RULE.format(condition))], Catalogue(fields))
    sight = Sight({"t": (Supply(values={"x.some": ("a*",)}),)})
    if rules.evaluate("t", {"free": free, "some": some}):
        assert arm(rules, sight)[0].state != "blind"


def test_the_command_prints_states_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """`outrider rules list --json` has each rule's state, reasons and types of event, and the counts."""
    assert main(["rules", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mode"] == "task"
    assert told["counts"]["armed"] == len(told["rules"])
    assert {"name", "state", "reasons", "event_types", "where"} <= set(told["rules"][0])


def test_a_file_is_checked_with_its_blind_rules_named(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rules that are not simply armed are printed with their reasons."""
    path = tmp_path / "r.yaml"
    path.write_text(RULE.format("evt.type = bpf"))
    assert main(["rules", "check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "blind here" in printed
    assert "bpf: " in printed
    assert "1 rules in a task: 0 armed, 0 armed by substitution, 1 blind here, 0 off" in printed


def test_the_fields_are_printed_with_what_is_weaker(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader sees how well each is supplied."""
    assert main(["fields"]) == 0
    printed = capsys.readouterr().out
    assert "proc.vpid" in printed
    assert "weaker: one PID namespace is shared in a task" in printed
