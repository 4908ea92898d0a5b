"""Transformers, modifiers and regular expressions: what each says of ordinary and odd values."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from outrider_rules import RuleSet

Load = Callable[..., RuleSet]

NC = {"proc.cmdline": "nc -lvp 4444 -e /bin/sh host"}


def held(load: Load, condition: str, context: dict[str, Any]) -> bool:
    """Whether one rule holds, the same compiled and interpreted."""
    ruleset = load(f"- rule: R\n  desc: d\n  priority: INFO\n  output: o\n  condition: >\n    {condition}\n")
    compiled = bool(ruleset.evaluate("connect", context))
    assert compiled == ruleset.rules[0].holds(context)
    return compiled


@pytest.mark.parametrize(
    ("condition", "context"),
    [
        ("b64(proc.name) = 'cat /etc/shadow'", {"proc.name": "Y2F0IC9ldGMvc2hhZG93"}),
        ("b64(proc.name) contains '\\\\xff'", {"proc.name": "/w=="}),
        ("b64(proc.aname) intersects (sh)", {"proc.aname": ["not base64!", "c2g="]}),
        ('join(proc.aname, " <- ") = "sh <- nginx"', {"proc.aname": ["sh", "nginx"]}),
        ('join(", ", fd.port) = "1, 443"', {"fd.port": [1, 443]}),
        ('concat(fd.sip, ":", fd.sport) in ("8.8.8.8:53")', {"fd.sip": "8.8.8.8", "fd.sport": 53}),
        ("concat(proc.is_new, '-', basename(proc.name)) = true-x", {"proc.is_new": True, "proc.name": "/a/x"}),
        ("toupper(concat('a', tolower(proc.name))) = AX", {"proc.name": "X"}),
        ("len(join(proc.aname, '')) = 3", {"proc.aname": ["a", "bc"]}),
        ("proc.name = concat(proc.pname, '-child')", {"proc.name": "a-child", "proc.pname": "a"}),
        ('getopt(proc.cmdline, "lvpe:") intersects (e)', NC),
        ('getopt(proc.cmdline, "lvp:e:")[p] = 4444', NC),
        ('getopt(proc.cmdline, "lvp:e:")[e] = /bin/sh', NC),
        ('getopt(proc.cmdline, "lvp:e:") in (l, v, p, e)', NC),
        ('getopt(proc.cmdline, "lvp:e:")[l] exists', NC),
        ('getopt(proc.cmdline, "c:")[c] = "5"', {"proc.cmdline": "x -c5"}),
        ('getopt(proc.cmdline, "c:")[c] = "6"', {"proc.cmdline": "x -c 5 -c 6"}),
        ('getopt(proc.cmdline, "c::")[c] = ""', {"proc.cmdline": "x -c 5"}),
        ('getopt(proc.aname, "c:")[c] = "a b"', {"proc.aname": ["-c", "a b"]}),
        ('getopt(proc.cmdline, "ab:") = b', {"proc.cmdline": "x --ab y -b"}),
        ('len(getopt(proc.cmdline, "ab")) = 2', {"proc.cmdline": "x -aab"}),
    ],
)
def test_a_transformer_changes_what_is_compared(load: Load, condition: str, context: dict[str, Any]) -> None:
    """Each holds for a value that it makes."""
    assert held(load, condition, context)


@pytest.mark.parametrize(
    ("condition", "context"),
    [
        ("b64(proc.name) exists", {"proc.name": "not base64!"}),
        ("b64(proc.name) != x", {"proc.name": "é"}),
        ("b64(proc.name) exists", {"proc.name": "YQ"}),
        ("b64(proc.aname) exists", {"proc.aname": ["%", "!"]}),
        ('join(proc.aname, "/") exists', {"proc.aname": []}),
        ('concat(proc.name, ":", fd.sport) exists', {"proc.name": "x"}),
        ('getopt(proc.cmdline, "x") exists', NC),
        ('getopt(proc.cmdline, "+lve:") exists', NC),
        ('getopt(proc.cmdline, "e:") exists', {"proc.cmdline": "x -- -e 5"}),
        ('getopt(proc.cmdline, "lve:") in (l, v)', NC),
        ('getopt(proc.cmdline, "p:e:")[e] = host', NC),
    ],
)
def test_a_transformer_without_an_answer_makes_every_comparison_false(
    load: Load, condition: str, context: dict[str, Any]
) -> None:
    """What is no base64, not given, or lacks a part is absent."""
    assert not held(load, condition, context)


@pytest.mark.parametrize(
    ("condition", "values", "others"),
    [
        ("proc.name startswith anyof (my, bash)", ["myexe", "bash"], ["sh", ""]),
        ("proc.name startswith oneof (my, mye, ba)", ["my", "bash"], ["myexe", "sh"]),
        ("proc.name startswith allof (my, mye)", ["myexe"], ["my"]),
        ("proc.name = anyof (a, b)", ["a", "b"], ["c"]),
        ("proc.name != anyof (a, b)", ["a", "b", "c"], []),
        ("proc.name != allof (a, b)", ["c"], ["a", "b"]),
        ("proc.name != oneof (a, b)", ["a", "b"], ["c"]),
        ("proc.name regex anyof ('python[23].*', 'node[0-9]+')", ["python3.11", "node18"], ["xnode18", "node"]),
        ("proc.name contains allof(a, b)", ["xaxb"], ["xa"]),
        ("proc.name endswith anyof (names)", ["xsh", "xbash"], ["x", "names"]),
        ("proc.name = anyof ()", [], ["a", ""]),
        ("proc.name = oneof ()", [], ["a", ""]),
    ],
)
def test_a_modifier_combines_the_comparisons_with_each_value(
    load: Load, condition: str, values: list[str], others: list[str]
) -> None:
    """`anyof` is one at least, `allof` every one, `oneof` just one; nothing holds for an empty list or no field."""
    text = f"- rule: R\n  desc: d\n  priority: INFO\n  output: o\n  condition: {condition}\n"
    ruleset = load(text + "- list: names\n  items: [bash, sh]\n")
    for value in (*values, *others, None):
        context = {"proc.name": value}
        assert bool(ruleset.evaluate("execve", context)) is (value in values), value
        assert ruleset.rules[0].holds(context) is (value in values), value


def test_exceptions_take_modifiers(load: Load) -> None:
    """One field with a list of prefixes, and rows of several fields with one."""
    ruleset = load(
        "- rule: R\n  desc: d\n  priority: INFO\n  output: o\n  condition: evt.type = execve\n  exceptions:\n"
        "    - {name: prefixes, fields: proc.name, comps: startswith anyof, values: [kube-, etcd-]}\n"
        "    - {name: rows, fields: [proc.name, proc.pname], comps: [contains  allof, =], values: [[[a, b], sh]]}\n"
    )
    silenced = [("kube-proxy", "x"), ("etcd-1", "x"), ("xaxb", "sh")]
    for name, parent in [*silenced, ("xetcd-", "x"), ("xa", "sh"), ("xaxb", "bash")]:
        context = {"evt.type": "execve", "proc.name": name, "proc.pname": parent}
        assert bool(ruleset.evaluate("execve", context)) is ((name, parent) not in silenced)


def test_transformers_work_in_outputs(load: Load) -> None:
    """An output may join, put together and decode; what has no answer is `<NA>`."""
    output = '\'%join(proc.aname, "<")|%concat(proc.name, ":", fd.sport)|%b64(proc.pname)|%tolower(proc.name)%%\''
    text = f"- rule: R\n  desc: d\n  priority: INFO\n  output: {output}\n  condition: evt.num = 1\n"
    (rule,) = load(text).rules
    context = {"evt.num": 1, "proc.aname": ["a", "b"], "proc.name": "X", "fd.sport": 5, "proc.pname": "?"}
    assert rule.render(context) == "a<b|X:5|<NA>|x%"
    assert rule.output_fields == ("proc.aname", "proc.name", "fd.sport", "proc.pname")
    assert rule.evidence(context)["fd.sport"] == 5


def test_a_regular_expression_matches_the_whole_text(load: Load) -> None:
    """As in Falco, both ends are anchored."""
    condition = "proc.name regex '[.]so([.][0-9]+)*'"
    assert held(load, condition, {"proc.name": ".so.2"})
    assert not held(load, condition, {"proc.name": "libexample.so.2"})


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("proc.name regex '(a+)+b'", "a" * 50_000),
        ("proc.name regex '(a|a)*(a|a)*(a|a)*c'", "a" * 50_000),
        ("proc.name regex '(.*)(.*)(.*)(.*)(.*)[^a]'", "a" * 50_000),
        (f"proc.name glob '{'*a' * 300}*b'", "a" * 20_000),
        (f"proc.name iglob '{'*?a' * 200}*b'", "a" * 20_000),
    ],
)
def test_no_pattern_stalls_the_engine(load: Load, condition: str, value: str) -> None:
    """What takes an engine that backtracks for ever is answered at once."""
    start = time.thread_time()
    assert not held(load, condition, {"proc.name": value})
    assert time.thread_time() - start < 1.0


SKIPPING = "- rule: R\n  desc: d\n  priority: INFO\n  output: o\n  condition: outer\n  skip-if-unknown-filter: {}\n"
MACROS = "- macro: inner\n  condition: ka.verb = get\n- macro: outer\n  condition: inner or proc.name = x\n"


def test_an_unknown_field_in_a_macro_blinds_the_rules_that_skip(load: Load) -> None:
    """However deep the macro, the rule is kept, never armed, and says why."""
    (rule,) = load(MACROS + SKIPPING.format("true")).rules
    assert not rule.armed
    assert rule.why_not == "blind: unknown field `ka.verb`"


def test_an_unknown_field_in_a_macro_of_another_source_is_no_mistake(load: Load) -> None:
    """Rules of a source that is not here are kept, with macros that name its fields."""
    text = SKIPPING.format("false") + "  source: k8s_audit\n"
    assert not load(MACROS + text).rules[0].armed


@pytest.mark.parametrize("more", ["", SKIPPING.format("false"), SKIPPING.format("true") + SKIPPING.format("false")])
def test_an_unknown_field_in_a_macro_is_a_mistake_to_everybody_else(refuse: Callable[..., Any], more: str) -> None:
    """Unused, or used by a rule that does not skip: the place in the macro is told, once."""
    problems = refuse(MACROS + more.replace("rule: R", "rule: S", 1)).problems
    assert [(p.line, p.message) for p in problems] == [(2, "unknown field `ka.verb`")]
