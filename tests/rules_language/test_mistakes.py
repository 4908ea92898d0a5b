"""Every mistake has its place, and a hint where there is one to give."""

from collections.abc import Callable

import pytest

from outrider_rules import RulesError

Refuse = Callable[..., RulesError]


def file_of(condition: str, output: str = "x") -> str:
    """One rule, its condition at line 5, column 14."""
    return f"- rule: R\n  desc: d\n  priority: INFO\n  output: {output}\n  condition: {condition}\n"


@pytest.mark.parametrize(
    ("condition", "column", "message", "hint"),
    [
        ("proc.nmae = bash", 14, "unknown field `proc.nmae`", "did you mean `proc.name`?"),
        ("proc.name = a and proc.nmae = b", 32, "unknown field `proc.nmae`", "did you mean"),
        ("fd.sport[1] = 2", 14, "unknown field `fd.sport[1]`", "takes no index"),
        ("mount.dest = 2", 14, "unknown field `mount.dest`", "with an index"),
        ("proc.aname[x] = 2", 14, "must be a number", ""),
        ("proc.name is bash", 24, "expected an operator, found `is bash`", ""),
        ("proc.name startwith bash", 24, "expected an operator", "did you mean `startswith`?"),
        ("proc.name", 23, "expected an operator, found the end", "one of"),
        ("proc.name =", 25, "expected a value, found the end", ""),
        ("proc.name = a b", 28, "expected `and`, `or` or the end, found `b`", ""),
        ("proc.name = (a)", 26, "expected a value, found `(a)`", ""),
        ("(proc.name = a", 14, "never closed", ""),
        ("proc.name = a)", 27, "closes nothing", ""),
        ("proc.name in (a b)", 30, "expected `,` or `)`", ""),
        ("proc.name in shels", 27, "there is no list `shels`", "did you mean `shells`?"),
        ("proc.name = shells", 26, "`shells` is a list", "in (shells)"),
        ("shell", 14, "there is no macro `shell`", ""),
        ("shells", 14, "there is no macro `shells`", "it is a list"),
        ("name = bash", 14, "`name` is no field", "dot"),
        ("proc.tty contains 1", 23, "`contains` does not apply to `proc.tty` (int)", "it has ="),
        ("proc.name < 3", 24, "`<` does not apply", ""),
        ("proc.tty = one", 25, "`one` is no value for `proc.tty`: not a number", ""),
        ("proc.is_new = maybe", 28, "neither true nor false", ""),
        ("fd.sip = 10.0.0.0/40", 23, "no length of a prefix", ""),
        ("fd.sip = host", 23, "host is no address", ""),
        ("proc.name bcontains 6z", 34, "is no value", ""),
        ("proc.name glob @(a)", 30, "expected `and`, `or` or the end", ""),
        ('proc.name glob "@(a)"', 29, "extended patterns", ""),
        ("b64(proc.tty) = a", 18, "`b64` does not apply to `proc.tty` (int)", ""),
        ('join(proc.name, "/") = a', 19, "`join` does not apply to `proc.name` (str)", ""),
        ("join(proc.aname) = a", 29, "expected `,`", ""),
        ("join(proc.aname, x) = a", 31, "`join` needs a quoted text", "join(proc.aname"),
        ('getopt(proc.cmdline, "n t") = a', 21, "`n t` is no string of options", "letters"),
        ('getopt(proc.cmdline, "nt:")[x] = a', 21, "`x` is not among the options", ""),
        ('getopt(proc.cmdline, "") = a', 21, "no string of options", ""),
        ("concat(proc.name, proc.aname) = a", 32, "`proc.aname` is a list", "join(proc.aname"),
        ('concat(proc.name, "a" = b', 36, "expected `,`", ""),
        ("concat() = a", 21, "expected a field", ""),
        ("tolow(proc.name) = a", 14, "neither a field nor a transformer", "did you mean `tolower`?"),
        ("tolower(proc.tty) = a", 22, "`tolower` does not apply", ""),
        ("proc.name = val(proc.tty)", 30, "two fields of different types", ""),
        ("proc.name in anyof (a, b)", 27, "`in` takes no `anyof`", "between parentheses"),
        ("proc.tty > anyof (1, 2)", 25, "`>` takes no `anyof`", ""),
        ("proc.aname = oneof (a, b)", 25, "`oneof` needs a single value; `proc.aname` has many", "with `and` and `or`"),
        ("proc.name contains anyof (a, b", 44, "expected `,` or `)`", ""),
        ("proc.tty contains anyof (a, b)", 23, "`contains` does not apply", ""),
        ("proc.name regex 'a('", 30, "is no value for `proc.name`: missing )", ""),
        ("proc.name regex '((a{900}){900}){900}'", 30, "is no value for `proc.name`", ""),
        ("and proc.name = a", 14, "expected a field, a macro or `(`", ""),
        ("proc.name = 'a", 26, "never ends", ""),
    ],
)
def test_a_mistake_in_a_condition_has_its_place(
    refuse: Refuse, condition: str, column: int, message: str, hint: str
) -> None:
    """The line and column are those of the wrong word, the message says what was expected."""
    error = refuse(file_of(condition) + "- list: shells\n  items: [sh]\n")
    problem = error.problems[0]
    assert (problem.file, problem.line, problem.column) == ("a.yaml", 5, column)
    assert message in problem.message
    assert hint in problem.hint


def test_regex_without_a_bounded_engine_is_refused(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's regular expression never meets an engine that backtracks."""
    monkeypatch.setattr("outrider_rules.check.regex_engine", lambda: None)
    assert "bounded engine" in refuse(file_of("proc.name regex '(a+)+'")).problems[0].message


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("- macro: m\n  condition: >\n    proc.name = a\n    and proc.nmae = b\n", 4, 9),
        ("- macro: m\n  condition: >-  # why\n\n    proc.name = a\n\n\n      and proc.nmae = b\n", 7, 11),
        ("- macro: m\n  condition: |\n    proc.name = a\n    and proc.nmae = b\n", 4, 9),
        ("- macro: m\n  condition: (proc.name = a and\n              proc.nmae = b)\n", 3, 15),
        ("- macro: m\n  condition: 'proc.name = \"it''s\" and proc.nmae = b'\n", 2, 39),
        ('- macro: m\n  condition: "proc.name = \\"\\u0061\\" and proc.nmae = b"\n', 2, 42),
        ('- macro: m\n  condition: "proc.name = a\n    and proc.nmae = b"\n', 3, 9),
        ("# é\r\n- macro: m\r\n  condition: proc.name = é and proc.nmae = b\r\n", 3, 32),
    ],
)
def test_places_are_those_of_the_file_however_yaml_writes_the_text(
    refuse: Refuse, text: str, line: int, column: int
) -> None:
    """Folded, literal, plain, quoted and multi-line texts map back to their own lines and columns."""
    problem = refuse(text).problems[0]
    assert "proc.nmae" in problem.message
    assert (problem.line, problem.column) == (line, column)


def test_a_problem_is_printed_with_its_line_and_a_caret(refuse: Refuse) -> None:
    """The message shows the source line, with a caret under the place and the hint beside it."""
    assert str(refuse(file_of("proc.nmae = bash"))) == (
        "a.yaml:5:14: error: unknown field `proc.nmae`\n"
        "  5 |   condition: proc.nmae = bash\n"
        "    |              ^ did you mean `proc.name`?"
    )


def test_a_long_line_is_shown_around_the_place(refuse: Refuse) -> None:
    """A line of thousands of characters is cut, and the caret still stands under the word."""
    shown = str(refuse(file_of("proc.name = a and " * 300 + "proc.nmae = b"))).splitlines()
    assert len(shown[1]) < 160
    assert shown[1][shown[2].index("^") :].startswith("proc.nmae")


def test_all_mistakes_are_told_at_once(refuse: Refuse) -> None:
    """Several mistakes in several files come in one error, in order."""
    error = refuse(file_of("proc.nmae = a and proc.nam = b", output="'%fd.nme 100%'"), "- macro: m\n  condition: (\n")
    assert [(p.file, p.line, p.column) for p in error.problems] == [
        ("a.yaml", 4, 13),
        ("a.yaml", 4, 23),
        ("a.yaml", 5, 14),
        ("a.yaml", 5, 32),
        ("b.yaml", 2, 15),
    ]


def test_a_mistake_in_a_macro_is_told_once(refuse: Refuse) -> None:
    """Rules that use a wrong macro add no problems of their own."""
    text = "- macro: m\n  condition: proc.nmae = a\n" + file_of("m and not m")
    assert len(refuse(text).problems) == 1


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        (
            "- macro: a\n  condition: b\n- macro: b\n  condition: not c\n- macro: c\n  condition: (a)\n",
            "`a` → `b` → `c` → `a`",
        ),
        ("- list: a\n  items: [b]\n- list: b\n  items: [x, a]\n", "`a` → `b` → `a`"),
        ("- macro: a\n  condition: a\n", "`a` → `a`"),
    ],
)
def test_circles_are_refused_with_their_chain(refuse: Refuse, text: str, chain: str) -> None:
    """Macros and lists that name one another in a circle are refused, and the way round is shown."""
    problems = refuse(text).problems
    assert len(problems) == 1
    assert chain in problems[0].message
    assert problems[0].line == 1


@pytest.mark.parametrize(
    ("output", "column", "message"),
    [
        ("%proc.nmae", 13, "unknown field `proc.nmae`"),
        ("a %proc.aname[x]", 15, "must be a number"),
        ("100% sure", 15, "no field"),
        ("at the end %", 23, "no field"),
        ("%tolower(proc.name", 30, "expected `)`"),
    ],
)
def test_a_mistake_in_an_output_has_its_place(refuse: Refuse, output: str, column: int, message: str) -> None:
    """An unknown field in an output is an error at the field."""
    problem = refuse(file_of("proc.name = a", f'"{output}"')).problems[0]
    assert message in problem.message
    assert problem.line == 4
    assert problem.column == column
