"""Rule files made to break the loader: each is loaded, or refused with a place, and never anything else."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_rules import Catalogue, Field, RulesError, RuleSet, RuleSource, load_rules
from outrider_rules.drafts import RULE_READERS

Load = Callable[..., RuleSet]
Refuse = Callable[..., RulesError]

CATALOGUE = Catalogue(
    [
        Field("evt.type", "str", lambda context: context.get("evt.type")),
        Field("proc.name", "str", lambda context: context.get("proc.name")),
        Field("proc.tty", "int", lambda context: context.get("proc.tty")),
        Field("proc.aname", "str", lambda context, index: context.get(index), indexed=True),
    ]
)

SAMPLE = """\
- required_engine_version: 0.57.0
- list: shells
  items: [sh, 'bash', "\\u0061", '"q r"']
- macro: tty
  condition: (proc.tty >= 0 or not proc.aname[2] in (shells, é))
- rule: Shell
  desc: >
    words
    and more
  condition: >-
    evt.type in (execve, execveat) and tty
      and proc.name = "a \\" b"

    and len(proc.name) != 3 and proc.name startswith oneof (a, shells)
    and not getopt(concat(proc.name, ":", proc.tty), "nt:")[t] = b64(proc.name)
    and not proc.name regex anyof ("a+", b.*)
  output: "%proc.name 100%% %tolower(proc.name) %concat(proc.name, 'x') \\
    %proc.aname[3]"
  priority: WARNING
  tags: [x, y]
  exceptions:
    - {name: e, fields: [proc.name, proc.tty], comps: [=, '>'], values: [[a, 1], ['b c', 2]]}
""".encode()


def attempt(text: str | bytes) -> RuleSet | None:
    """Load a text; a refusal must have a place in it for each problem, and be printable."""
    try:
        return load_rules([RuleSource("x.yaml", text)], CATALOGUE)
    except RulesError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.file == "x.yaml"
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.message
        str(error).encode("utf-8")
        return None


def test_the_sample_itself_is_right() -> None:
    """What is cut and bent below loads when it is whole."""
    ruleset = attempt(SAMPLE)
    assert ruleset is not None
    assert [rule.name for rule in ruleset.evaluate("execve", {"evt.type": "execve", "proc.name": 'a " b'})] == ["Shell"]


@pytest.mark.parametrize("drop", ["end", "start"])
def test_a_file_cut_at_any_byte(drop: str) -> None:
    """Cut at every byte, from either end, it loads or is refused with a place."""
    refused = sum(attempt(SAMPLE[:n] if drop == "end" else SAMPLE[n:]) is None for n in range(len(SAMPLE)))
    assert refused > len(SAMPLE) // 2


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=4), st.integers(0, 3))
def test_a_file_with_bytes_changed(at: int, put: bytes, drop: int) -> None:
    """Any bytes in any place: loaded, or refused with a place."""
    attempt(SAMPLE[:at] + put + SAMPLE[at + drop :])


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_a_file_of_anything(text: str | bytes) -> None:
    """Any bytes and any text, lone surrogates too: loaded, or refused with a place."""
    attempt(text)


TERMS = ("proc.name", "proc.tty", "proc.aname[", "2", "and", "or", "not", "in", "!=", "exists", "m", "val(", "len(")
CALLS = ("anyof (", "oneof", "= allof (", "b64(", "concat(", "join(", "getopt(", '"nt:"', ")[t]", "val(", "%join(")
WORDS = st.sampled_from([*TERMS, *"[]()=,%*'\"\\\té\u2028", "tolower(", "glob", "regex", "pmatch", *CALLS])


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_words_as_a_condition_and_as_an_output(words: str) -> None:
    """Words of the language in any order, and any text: loaded, or refused with a place."""
    import json

    quoted = json.dumps(words)
    attempt(f"- rule: r\n  desc: d\n  priority: INFO\n  output: {quoted}\n  condition: {quoted}\n")


VALUES = [
    "",
    "x",
    "[]",
    "[x]",
    "{}",
    "{a: b}",
    "[[x]]",
    "[{a: b}]",
    "1",
    "-1.5",
    "true",
    "null",
    "~",
    "2020-01-01",
    "''",
]
VALUES += ["!!binary x", "!!set {a}", "&a [*a]", "!x y", "0x", "|", "'[', ']'"]


@pytest.mark.parametrize("key", [*RULE_READERS, "rule", "append", "override", "nonsense"])
def test_wrong_types_for_each_key(key: str) -> None:
    """Every key of a rule with values of every type: loaded, or refused with a place."""
    keys = {"rule": "r", "desc": "d", "priority": "INFO", "output": "o", "condition": "proc.name = a"}
    for value in VALUES:
        attempt("- " + "  ".join(f"{name}: {text}\n" for name, text in {**keys, key: value}.items()))


@pytest.mark.parametrize("item", ["macro", "list", "required_engine_version", "required_plugin_versions", "other"])
@pytest.mark.parametrize("key", ["name", "condition", "items", "override", "append", "version"])
def test_wrong_types_for_the_other_items(item: str, key: str) -> None:
    """Every other item with keys and values of every type: loaded, or refused with a place."""
    for value in VALUES:
        attempt(f"- {item}: {value}\n  {key}: {value}\n")
        attempt(f"- {item}:\n  - {key}: {value}\n")
        attempt(f"- {item}: x\n  {key}: {value}\n")


@pytest.mark.parametrize("joint", ["or", "and"])
def test_ten_thousand_terms(load: Load, joint: str) -> None:
    """A condition of ten thousand terms loads, compiles and is answered; the interpreter agrees."""
    start = time.thread_time()
    text = f" {joint} ".join(f"proc.name {'=' if joint == 'or' else '!='} n{n}" for n in range(10_000))
    ruleset = load(f"- rule: r\n  desc: d\n  priority: INFO\n  output: o\n  condition: {text}\n")
    for name, expected in (("n9999", joint == "or"), ("x", joint == "and")):
        context = {"evt.type": "execve", "proc.name": name}
        assert bool(ruleset.evaluate("execve", context)) is expected
        assert ruleset.rules[0].holds(context) is expected
    assert time.thread_time() - start < 5.0


def test_ten_thousand_negations(match: Callable[..., bool]) -> None:
    """Any number of `not` is read without a stack, and counts as even or odd."""
    assert match("not " * 10_000 + "proc.name = a", proc__name="a")
    assert not match("not " * 10_001 + "proc.name = a", proc__name="a")


def test_parentheses_as_deep_as_allowed(match: Callable[..., bool], refuse: Refuse) -> None:
    """A hundred nested parentheses work, of every kind; more are refused at the one too many."""
    mixed = "proc.name = a"
    for level in range(60):
        mixed = f"not (proc.name = b {'or' if level % 2 else 'and'} ({mixed}))" if level % 3 else f"({mixed})"
    assert isinstance(match(mixed, proc__name="a"), bool)
    assert match("(" * 100 + "proc.name = a" + ")" * 100, proc__name="a")
    deep = "(" * 5000 + "proc.name = a" + ")" * 5000
    problem = refuse(f"- macro: m\n  condition: {deep}\n").problems[0]
    assert "deeper than 100" in problem.message
    assert problem.column == 14 + 100


def test_a_chain_of_macros_is_bounded(refuse: Refuse, match: Callable[..., bool]) -> None:
    """Macros within macros work to a depth, and are refused past it; ten thousand of them too."""

    def chain(length: int) -> str:
        links = [f"- macro: m{n}\n  condition: m{n + 1} and proc.tty = 1\n" for n in range(length)]
        return "".join(links) + f"- macro: m{length}\n  condition: proc.name = a\n"

    assert match("m0", chain(60), proc__name="a", proc__tty=1)
    assert "through its macros" in refuse(chain(10_000)).problems[0].message


def test_macros_that_double_at_each_step_stay_small(load: Load) -> None:
    """Forty macros that each use the next twice are two to the forty terms when written out, and are not."""
    links = [f"- macro: m{n}\n  condition: (m{n + 1} or not m{n + 1}) and m{n + 1}\n" for n in range(40)]
    text = "".join(links) + "- macro: m40\n  condition: proc.name = a\n"
    ruleset = load(text + "- rule: r\n  desc: d\n  priority: INFO\n  output: o\n  condition: m0\n")
    assert ruleset.evaluate("execve", {"evt.type": "execve", "proc.name": "a"})


def test_lists_that_double_at_each_step_stay_small(match: Callable[..., bool]) -> None:
    """Lists within lists hold each item once; a chain of ten thousand is no deeper than one."""
    double = "".join(f"- list: l{n}\n  items: [l{n + 1}, l{n + 1}]\n" for n in range(2_000))
    assert match("proc.name in (l0)", double + "- list: l2000\n  items: [a]\n", proc__name="a")


def test_lists_that_hold_one_another_are_bounded(refuse: Refuse) -> None:
    """A chain of lists, each the next and one item more, is refused before it fills the memory."""
    chain = "".join(f"- list: l{n}\n  items: [l{n + 1}, x{n}]\n" for n in range(4_000))
    assert "hold more than" in refuse(chain).problems[0].message


@pytest.mark.parametrize(
    "text",
    [
        "- rule: r\n  desc: d\n  priority: INFO\n  output: o\n  condition: " + " or ".join(["proc.nmae = x"] * 20_000),
        "- rule: r\n" + "".join(f"  k{n}: x\n" for n in range(20_000)),
        "- rul: r\n" * 20_000,
        "- list: l\n" * 20_000,
        "- macro: m\n  condition: n\n" * 20_000,
        "- rule: r\n  desc: d\n  priority: INFO\n  condition: proc.name = x\n  output: " + "%proc.nmae " * 20_000,
    ],
)
def test_a_file_of_mistakes_is_refused_soon(refuse: Refuse, text: str) -> None:
    """Twenty thousand mistakes are not looked into one by one."""
    start = time.thread_time()
    assert refuse(text).problems
    assert time.thread_time() - start < 5.0


def test_text_of_rules_never_becomes_code(load: Load) -> None:
    """Names and values that look like Python stay values."""
    evil = '__import__(\'os\')\\n"""); raise SystemExit #'
    text = '- rule: "{0} {x}"\n  desc: d\n  priority: INFO\n  output: "{x} %proc.name"\n'
    condition = f"  condition: 'proc.name = \"{evil}\"'\n".replace("('os')", "(os)").replace('"""', "")
    ruleset = load(text + condition)
    assert ruleset.evaluate("execve", {"evt.type": "execve", "proc.name": "x"}) == []
    assert ruleset.rules[0].render({"proc.name": "%proc.tty {y}"}) == "{x} %proc.tty {y}"
