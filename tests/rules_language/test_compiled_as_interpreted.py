"""Compiled conditions against the plain interpreter, for conditions and events made at random."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from outrider_rules import Catalogue, Field, RuleSource, load_rules

WORDS = st.sampled_from(
    [*("bash", "sh", "/etc/passwd", "/etc", "a b", "", "Bash", "10.0.0.1", "é"), *("-a -b x", "-bx", "YQ==", "a", "x")]
)
QUOTED = WORDS.map(lambda word: f'"{word}"')
NUMBERS = st.sampled_from(["0", "1", "-1", "0x10", "443", "1.5"])
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "0.0.0.0/0"])
EVENT_TYPES = ("execve", "open", "connect", "other")
TEXT_OPERATORS = st.sampled_from(
    [
        *("=", "!=", "contains", "icontains", "startswith", "endswith", "glob", "iglob"),
        *("regex", "intersects", "in", "pmatch"),
    ]
)
MODIFIED = st.tuples(
    st.sampled_from(["=", "!=", "contains", "startswith", "endswith", "glob", "regex"]),
    st.sampled_from(["anyof", "allof", "oneof"]),
).map(" ".join)
SINGLE_TEXTS = st.sampled_from(["p.a", "p.b", "p.walk[2]", 'join(p.walk, "/")', 'concat(p.a, "/", p.b)', "b64(p.a)"])
LISTED = ("in", "intersects", "pmatch")

Getter = Any


def _get(name: str) -> Getter:
    return lambda context: context.get(name)


def _field(name: str, kind: Any, **more: Any) -> Field:
    return Field(name=name, type=kind, get=_get(name), **more)


CATALOGUE = Catalogue(
    [
        _field("evt.type", "str"),
        _field("p.a", "str"),
        _field("p.b", "str", events=frozenset({"execve", "open"})),
        _field("p.walk", "list[str]"),
        _field("p.set", "list[str]", many="set"),
        _field("p.ends", "list[str]", many="ends"),
        Field(name="p.walk", type="str", get=lambda context, index: context.get(f"p.walk[{index}]"), indexed=True),
        _field("n.a", "int"),
        _field("n.ends", "list[int]", many="ends"),
        _field("b.a", "bool"),
        _field("i.a", "ip"),
        _field("i.ends", "list[ip]", many="ends"),
    ]
)
TEXTS = st.sampled_from(["p.a", "p.b", "p.walk", "p.set", "p.ends", "p.walk[2]"])
CHANGED_TEXTS = TEXTS | TEXTS.flatmap(
    lambda name: st.sampled_from(
        [
            *(f"tolower({name})", f"basename({name})", f"b64({name})", f'getopt({name}, "ab:")'),
            *(f'getopt({name}, "ab:")[b]', f'tolower(getopt({name}, "+a::b"))', f"b64(basename({name}))"),
        ]
    )
)
CHANGED_TEXTS |= SINGLE_TEXTS


def _listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda many: "(" + ", ".join(many) + ")")


def _comparison(operand: str, operator: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    right = _listed(values) if operator in LISTED or operator.endswith("of") else values
    return right.map(lambda written: f"{operand} {operator} {written}")


TESTS = st.one_of(
    st.tuples(SINGLE_TEXTS, MODIFIED).flatmap(lambda pair: _comparison(*pair, QUOTED)),
    st.tuples(
        st.sampled_from(["n.a", "i.a"]), st.sampled_from(["= anyof", "!= allof", "= oneof", "!= oneof", "!= anyof"])
    ).flatmap(lambda pair: _comparison(*pair, NUMBERS if pair[0] == "n.a" else ADDRESSES)),
    st.tuples(CHANGED_TEXTS, TEXT_OPERATORS).flatmap(lambda pair: _comparison(*pair, QUOTED)),
    st.tuples(
        st.sampled_from(["n.a", "n.ends", "len(p.a)", "len(p.walk)"]),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in"]),
    ).flatmap(lambda pair: _comparison(*pair, NUMBERS)),
    st.tuples(st.sampled_from(["i.a", "i.ends"]), st.sampled_from(["=", "!=", "in"])).flatmap(
        lambda pair: _comparison(*pair, ADDRESSES)
    ),
    st.sampled_from(["b.a = true", "b.a != true", "b.a=false", "always", "never", "nested"]),
    st.tuples(CHANGED_TEXTS | st.sampled_from(["n.a", "i.a"]), st.just("exists")).map(" ".join),
    st.tuples(st.sampled_from(["=", "!=", "in"]), st.lists(st.sampled_from(EVENT_TYPES), min_size=1, max_size=2)).map(
        lambda pair: f"evt.type {pair[0]} " + (f"({','.join(pair[1])})" if pair[0] == "in" else pair[1][0])
    ),
    st.tuples(CHANGED_TEXTS, st.sampled_from(["=", "!=", "in", "startswith", "contains"]), TEXTS).map(
        lambda three: f"{three[0]} {three[1]} val({three[2]})"
    ),
    st.tuples(st.sampled_from(["n.a", "n.ends"]), st.sampled_from(["=", "!=", "<"])).map(
        lambda pair: f"{pair[0]} {pair[1]} val(n.a)"
    ),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.lists(inner, min_size=2, max_size=4).map(" and ".join).map(lambda text: f"({text})"),
        st.lists(inner, min_size=2, max_size=4).map(" or ".join).map(lambda text: f"({text})"),
    ),
    max_leaves=12,
)


IPS = st.sampled_from(["10.0.0.1", "::1", "2001:db8::5", "8.8.8.8", "not an address"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "p.a": WORDS,
    "p.b": WORDS,
    "p.walk": st.lists(WORDS, max_size=3),
    "p.set": st.lists(WORDS, max_size=3),
    "p.ends": st.lists(WORDS, max_size=2),
    "p.walk[2]": WORDS,
    "n.a": st.sampled_from([0, 1, -1, 16, 443]),
    "n.ends": st.lists(st.sampled_from([0, 1, 443]), max_size=2),
    "b.a": st.booleans(),
    "i.a": IPS,
    "i.ends": st.lists(IPS, max_size=2),
}
CONTEXTS = st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()})
FULL_CONTEXTS = st.fixed_dictionaries(VALUES)
EVENTS = st.sampled_from(EVENT_TYPES)
MACROS = (
    "- macro: always\n  condition: n.a exists or not n.a exists\n"
    "- macro: never\n  condition: evt.type = nothing\n"
    "- macro: nested\n  condition: always and (p.a = bash or evt.type = open) and not never\n"
)


def agree(conditions: list[str], contexts: list[dict[str, Any]], event_type: str) -> None:
    """Load the conditions as rules; for each event the compiled and the interpreted ones that hold are the same."""
    items = [
        f"- rule: r{number}\n  desc: d\n  priority: INFO\n  output: o\n  condition: >\n    {condition}\n"
        for number, condition in enumerate(conditions)
    ]
    ruleset = load_rules([RuleSource("x.yaml", MACROS + "".join(items))], CATALOGUE)
    for context in contexts:
        full = {**context, "evt.type": event_type}
        visible = {**full, "p.b": full["p.b"] if event_type in ("execve", "open") else None}
        expected = [rule.name for rule in ruleset.rules if rule.holds(visible)]
        found = [rule.name for rule in ruleset.evaluate(event_type, full)]
        assert found == expected
        assert set(found) <= {rule.name for rule in ruleset.rules_for(event_type)}


@settings(max_examples=150, deadline=None)
@given(st.lists(CONDITIONS, min_size=1, max_size=3), st.lists(CONTEXTS, min_size=3, max_size=3), EVENTS)
def test_compiled_conditions_say_what_the_interpreter_says(
    conditions: list[str], contexts: list[dict[str, Any]], event_type: str
) -> None:
    """Whatever the conditions, the events and their type: the same rules hold either way."""
    agree(conditions, contexts, event_type)


@settings(max_examples=100, deadline=None)
@given(st.lists(TESTS, min_size=20, max_size=30), st.lists(FULL_CONTEXTS, min_size=4, max_size=4), EVENTS)
def test_single_comparisons_say_what_the_interpreter_says(
    conditions: list[str], contexts: list[dict[str, Any]], event_type: str
) -> None:
    """Every comparison on its own, where no other can hide a difference."""
    agree(conditions, contexts, event_type)
