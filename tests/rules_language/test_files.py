"""What rule files may hold, how later ones change earlier ones, and which are refused."""

from collections.abc import Callable

import pytest

from outrider_rules import Catalogue, Field, RulesError, RuleSet, RuleSource, describe, load_rules

Load = Callable[..., RuleSet]
Refuse = Callable[..., RulesError]

RULE = """\
- rule: Shell started
  desc: A shell started.
  condition: proc.name in (shells)
  output: "shell %proc.name"
  priority: NOTICE
  tags: [a, b]
- list: shells
  items: [sh]
"""


def held(ruleset: RuleSet, name: str, **values: object) -> bool:
    """Whether the one rule holds for a process of a name."""
    return bool(ruleset.evaluate("execve", {"evt.type": "execve", "proc.name": name, **values}))


def test_a_pack_entry_carries_what_a_finding_needs(load: Load) -> None:
    """The keys of ours are read, and what is left out is made of the rest."""
    text = RULE + (
        "- rule: Reverse shell\n  finding: Execution:Runtime/ReverseShell\n  severity: high\n"
        "  title: Stranger's shell\n  fold: '%proc.pname at %proc.tty'\n"
        "  desc: d\n  condition: proc.name = x\n  output: o\n  priority: INFORMATIONAL\n  remedy: stop it\n"
        "  sees: this\n  misses: that\n  noise: none\n"
    )
    plain, ours = load(text).rules
    assert (plain.finding, plain.severity, plain.title) == ("Custom:Runtime/ShellStarted", "LOW", "Shell started")
    assert (ours.finding, ours.severity, ours.title) == ("Execution:Runtime/ReverseShell", "HIGH", "Stranger's shell")
    assert (plain.fold_key({}), ours.fold_key({"proc.pname": "x"})) == (None, "x at <NA>")
    assert (ours.remedy, ours.sees, ours.misses, ours.noise) == ("stop it", "this", "that", "none")
    assert (ours.priority, ours.where, plain.tags) == ("INFO", "a.yaml:9", ("a", "b"))


def test_a_rule_that_is_off_is_kept_and_says_so(load: Load) -> None:
    """A disabled rule is checked and listed, and never evaluated."""
    ruleset = load(RULE, "- rule: Shell started\n  enabled: false\n")
    assert not held(ruleset, "sh")
    assert [(row.name, row.armed) for row in describe(ruleset)] == [("Shell started", "off: enabled is false")]


def test_a_rule_of_another_source_is_never_armed(load: Load) -> None:
    """Rules for audit logs and the like are kept, and say why they are blind here."""
    text = RULE.replace("  tags:", "  source: k8s_audit\n  tags:").replace("proc.name in (shells)", "ka.verb = create")
    assert "k8s_audit" in describe(load(text))[0].armed


def test_a_rule_may_ask_to_be_skipped_where_a_field_is_unknown(load: Load) -> None:
    """With skip-if-unknown-filter an unknown field makes the rule blind, not the file wrong."""
    text = RULE.replace("  tags:", "  skip-if-unknown-filter: true\n  tags:").replace(
        "proc.name in (shells)", "ka.verb = x"
    )
    assert "unknown field `ka.verb`" in describe(load(text))[0].armed


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ("- list: shells\n  items: [bash]\n", "sh", False),
        ("- list: shells\n  items: [bash]\n", "bash", True),
        ("- list: shells\n  items: [bash]\n  append: true\n", "sh", True),
        ("- list: shells\n  items: [bash]\n  override: {items: append}\n", "bash", True),
        ("- list: shells\n  items: [bash]\n  override: {items: replace}\n", "sh", False),
        ("- rule: Shell started\n  condition: and proc.tty = 1\n  append: true\n", "sh", False),
        ("- rule: Shell started\n  condition: or proc.name = zsh\n  override: {condition: append}\n", "zsh", True),
        ("- rule: Shell started\n  condition: proc.name = zsh\n  override: {condition: replace}\n", "sh", False),
        ("- rule: Shell started\n  enabled: false\n  override: {enabled: replace}\n", "sh", False),
    ],
)
def test_a_later_file_changes_an_earlier_one(load: Load, change: str, name: str, expected: bool) -> None:
    """A name defined again replaces; append and override change what is there."""
    assert held(load(RULE, change), name) is expected


def test_macros_and_texts_are_appended_to(load: Load) -> None:
    """Conditions of macros, tags, outputs and descriptions are appended with a space."""
    change = (
        "- rule: Shell started\n  tags: [b, c]\n  output: on %proc.tty\n  desc: Maybe.\n"
        "  override: {tags: append, output: append, desc: append}\n"
        "- macro: m\n  condition: or proc.tty = 7\n  append: true\n"
    )
    text = RULE.replace("(shells)", "(shells) and m") + "- macro: m\n  condition: proc.tty = 5\n"
    rule = load(text, change).rules[0]
    assert (rule.tags, rule.desc) == (("a", "b", "c"), "A shell started. Maybe.")
    assert rule.render({"proc.name": "sh"}) == "shell sh on <NA>"
    assert rule.holds({"proc.name": "sh", "proc.tty": 7})


EXCEPTED = (
    "- rule: a\n  desc: d\n  priority: INFO\n  output: o\n  condition: proc.name = x\n  exceptions:\n"
    "    - name: one\n      fields: proc.name\n    - name: pair\n      fields: [proc.pname, proc.cmdline]\n"
    "- rule: a\n  append: true\n  exceptions:\n"
)
EXCEPTIONS = """\
  exceptions:
    - name: pairs
      fields: [proc.pname, proc.cmdline]
      comps: [=, startswith]
      values:
        - [cron, "sh -c"]
        - [sshd, sh]
    - name: by_parent
      fields: proc.pname
      values: [systemd, 'a "b']
    - name: listed
      fields: [proc.pname, proc.tty]
      comps: [in, =]
      values:
        - [[runc, known], 0]
    - name: later
      fields: [proc.cmdline]
"""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, True),
        ({"proc.pname": "cron", "proc.cmdline": "sh -c x"}, False),
        ({"proc.pname": "cron", "proc.cmdline": "sh x"}, True),
        ({"proc.pname": "sshd", "proc.cmdline": "sh x"}, False),
        ({"proc.pname": "systemd"}, False),
        ({"proc.pname": 'a "b'}, False),
        ({"proc.pname": "dockerd", "proc.tty": 0}, False),
        ({"proc.pname": "dockerd", "proc.tty": 4}, True),
        ({"proc.pname": "late", "proc.tty": 4}, False),
        ({"proc.cmdline": "ok"}, False),
    ],
)
def test_exceptions_take_events_out(load: Load, values: dict[str, object], expected: bool) -> None:
    """Each row of values is one case in which the rule does not hold; a later file may add rows."""
    text = RULE.replace("  tags:", EXCEPTIONS + "  tags:") + "- list: known\n  items: [dockerd]\n"
    change = (
        "- rule: Shell started\n  append: true\n  exceptions:\n    - name: later\n      values: [[ok]]\n"
        "    - name: by_parent\n      values: [late]\n"
    )
    assert held(load(text, change), "sh", **values) is expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (RULE + "- list: shells\n  items: []\n", 9, "defined twice in this file"),
        (RULE + RULE, 9, "defined twice in this file"),
        ("- rule: a\n  append: true\n  condition: and x\n", 1, "no rule `a` yet"),
        ("- rule: a\n  desc: d\n", 1, "lacks condition, output, priority"),
        ("- rule: a\n  rule: b\n", 2, "`rule` is given twice"),
        ("- rule: a\n  macro: b\n", 1, "just one of"),
        ("- rules: a\n", 1, "just one of"),
        ("- rule: a\n  condtion: b\n", 2, "a rule has no key `condtion`"),
        ("- rule: a\n  enabled: maybe\n", 2, "true or false"),
        ("- rule: a\n  priority: urgent\n", 2, "one of EMERGENCY"),
        ("- rule: a\n  severity: mild\n", 2, "one of LOW"),
        ("- rule: a\n  finding: reverse shell\n", 2, "no type of finding"),
        ("- rule: a\n  tags: x\n", 2, "must be a list"),
        ("- rule: a\n  tags: [[x]]\n", 2, "texts only"),
        ("- rule: a\n  condition: [x]\n", 2, "must be a text, not a list"),
        ("- rule: a\n  condition:\n", 2, "`condition` is empty"),
        ("- rule: [a]\n", 1, "must be a text"),
        ("- rule:\n", 1, "is empty"),
        ("- macro: a\n", 1, "no condition"),
        ("- list: a\n", 1, "no items"),
        ("- list: a\n  items: {a: b}\n", 2, "not a mapping"),
        ("rule: a\n", 1, "must be a list of items"),
        ("just words\n", 1, "must be a list of items"),
        ("- just words\n", 1, "must be a mapping"),
        ("- {[a]: b}\n", 1, "must be a text, not a list"),
        ("- required_engine_version: 99.0.0\n", 1, "needs version"),
        ("- required_engine_version: new\n", 1, "number or a version"),
        ("- required_plugin_versions: x\n", 1, "must be a list"),
        ("- required_plugin_versions:\n  - name: x\n", 2, "must have a version"),
        ("- rule: a\n  override: {tags: append}\n", 2, "does not give"),
        (RULE + "- rule: a\n  priority: INFO\n  override: {priority: append}\n", 11, "not appended to"),
        ("- rule: a\n  exceptions: {}\n", 2, "must be a list"),
        ("- rule: a\n  exceptions: [{fields: x.y}]\n", 2, "must have a name"),
        ("- rule: a\n  exceptions: [{name: n, fields: [x.y, z.w], values: [[1]]}]\n", 2, "must have 2"),
        ("- rule: a\n  exceptions: [{name: n, fields: [x.y], comps: [is]}]\n", 2, "cannot compare"),
        ("- rule: a\n  exceptions: [{name: n, fields: x or y.z}]\n", 2, "is no field"),
        ("- rule: a\n  exceptions: [{name: n, values: [[1]]}]\n", 2, "has no fields"),
        (EXCEPTED + "    - {name: pair, values: [[x]]}\n", 14, "one for each of proc.pname, proc.cmdline"),
        (EXCEPTED + "    - {name: pair, values: [x, y]}\n", 14, "one for each of"),
        (EXCEPTED + "    - {name: pair, fields: [proc.name], values: [[x]]}\n", 14, "can be replaced"),
        (EXCEPTED + "    - {name: pari, values: [[x, y]]}\n", 14, "`pari` has no fields"),
        (EXCEPTED.replace("proc.name\n ", "proc.nmae\n ") + "    - {name: pair}\n", 8, "unknown field `proc.nmae`"),
        ("- rule: 'a\n", 2, "not YAML"),
        ("- rule: *a\n", 1, "alias"),
        ("- a: {b: [\n", 2, "not YAML"),
        ("- rule: \x00\n", 1, "not YAML"),
        (b"- rule: \xff\n", 1, "not UTF-8"),
        ("- rule: \ud800\n", 1, "not UTF-8"),
        ("[" * 100_000, 1, "deeper than"),
        ("- " * 100_000, 1, "deeper than"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(refuse: Refuse, text: str | bytes, line: int, message: str) -> None:
    """Whatever is wrong with a file is told with the line, and nothing is loaded."""
    problems = refuse(text).problems
    assert any(message in problem.message and problem.line == line for problem in problems), problems


def test_aliases_cannot_unfold_without_bound(refuse: Refuse) -> None:
    """A small file that stands for millions of items is refused at once."""
    lines = ["- list: l0", "  items: &l0 [" + ",".join("x" * 1000) + "]"]
    lines += [f"- list: m{n}\n  items: *l0" for n in range(1000)]
    assert "unfolds to more" in refuse("\n".join(lines)).problems[0].message


def test_an_empty_file_holds_no_rules(load: Load) -> None:
    """An empty file, one of comments, and one without items are fine."""
    assert len(load("", "# nothing\n", "---\n...\n", "[]")) == 0


def test_a_catalogue_refuses_a_name_given_twice() -> None:
    """Two fields of one name are a mistake; a plain and an indexed one are not."""
    plain = Field("proc.aname", "list[str]", lambda _: None)
    indexed = Field("proc.aname", "str", lambda _, __: None, indexed=True)
    assert len(Catalogue([plain, indexed])) == 2
    with pytest.raises(ValueError, match="twice"):
        Catalogue([plain, plain])
    with pytest.raises(ValueError, match="not a field"):
        Catalogue([Field("name", "str", lambda _: None)])


def test_a_rule_shows_what_it_decided_by(load: Load) -> None:
    """Evidence holds the present fields of condition and output; an output shows absent ones as <NA>."""
    text = (
        "- rule: R\n  desc: d\n  priority: INFO\n  condition: tolower(proc.name) = sh and not proc.aname[2] = x\n"
        '  output: "*%proc.name, %toupper(proc.name) %proc.aname[3]%% %proc.aname %proc.is_new."\n'
    )
    rule = load(text).rules[0]
    context = {"proc.name": "sH", "proc.aname[2]": "y", "proc.aname": ("a", "b"), "proc.is_new": True}
    assert rule.render(context) == "sH, SH <NA>% (a,b) true."
    assert rule.evidence(context) == {
        "proc.name": "sH",
        "proc.aname[2]": "y",
        "proc.aname": ["a", "b"],
        "proc.is_new": True,
    }
    assert rule.output_fields == ("proc.name", "proc.aname[3]", "proc.aname", "proc.is_new")


@pytest.mark.parametrize(
    ("condition", "types"),
    [
        ("evt.type = execve and proc.name = a", {"execve"}),
        ("evt.type in (execve, execveat) and evt.type != execve", {"execveat"}),
        ("(evt.type = open and proc.name = a) or evt.type = connect", {"open", "connect"}),
        ("proc.name = a", None),
        ("not evt.type = execve", None),
        ("evt.type != execve and fd.name = a", {"open", "connect"}),
        ("fd.name = a", {"open", "connect"}),
        ("fd.name exists and fd.sport = 1", {"connect"}),
        ("evt.type = execve and evt.type = open", set()),
        ("evt.type startswith exec", None),
    ],
)
def test_a_rule_meets_only_events_it_can_hold_for(load: Load, condition: str, types: set[str] | None) -> None:
    """The types of event are worked out from what the condition says of evt.type and which fields it needs."""
    text = f"- rule: R\n  desc: d\n  priority: INFO\n  output: o\n  condition: {condition}\n"
    rule = load(text).rules[0]
    assert rule.event_types == (None if types is None else frozenset(types))


def test_a_field_is_asked_once_an_event_and_only_when_needed() -> None:
    """However many rules ask for a field, its getter runs once an event, and not at all where the type decides."""
    asked: list[str] = []

    def get(name: str) -> Callable[[object], str]:
        return lambda _: asked.append(name) or "x"  # type: ignore[func-returns-value]

    fields = [Field(name, "str", get(name)) for name in ("evt.type", "a.a", "a.b")]
    rules = "".join(
        f"- rule: r{n}\n  desc: d\n  priority: INFO\n  output: o\n  condition: {condition}\n"
        for n, condition in enumerate(["m and a.a = x", "not m or a.a != y", "evt.type = open and a.b = x", "m"])
    )
    ruleset = load_rules([RuleSource("x", rules + "- macro: m\n  condition: a.a = x or a.b = y\n")], Catalogue(fields))
    assert [rule.name for rule in ruleset.evaluate("execve", None)] == ["r0", "r1", "r3"]
    assert asked == ["a.a"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("warn", "WARNING"), ("Crit", "CRITICAL"), ("err", "ERROR"), ("e", "EMERGENCY"), ("Informational", "INFO")],
)
def test_priorities_may_be_shortened(load: Load, written: str, meant: str) -> None:
    """The first priority that begins so, as Falco takes them."""
    (rule,) = load(RULE.replace("NOTICE", written)).rules
    assert rule.priority == meant


def test_an_addition_may_name_the_fields_it_adds_to(load: Load) -> None:
    """Values for an exception whose fields are said again, or not."""
    for fields in ("", "fields: [proc.pname, proc.cmdline], "):
        rules = load(
            EXCEPTED + f"    - {{name: pair, {fields}values: [[p, c]]}}\n    - {{name: one, values: [[x, y]]}}\n"
        )
        assert not held(rules, "x")
