"""What conditions mean: operators, absent values, lists, precedence, quoting."""

from collections.abc import Callable

import pytest

Match = Callable[..., bool]
NAME = "bash"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("proc.name = bash", True),
        ("proc.name==bash", True),
        ("proc.name=zsh", False),
        ("proc.name != zsh", True),
        ("proc.name != bash", False),
        ("proc.name in (sh, bash)", True),
        ("proc.name in ()", False),
        ("proc.name intersects (sh, bash)", True),
        ("proc.name contains as", True),
        ("proc.name contains AS", False),
        ("proc.name icontains AS", True),
        ("proc.name bcontains 6173", True),
        ("proc.name startswith ba", True),
        ("proc.name bstartswith 6261", True),
        ("proc.name endswith sh", True),
        ("proc.name glob b*h", True),
        ("proc.name glob B*H", False),
        ("proc.name iglob B*H", True),
        ("proc.name exists", True),
        ("proc.name pmatch (bash)", True),
        ("tolower(proc.name) = bash", True),
        ("toupper( proc.name ) = BASH", True),
        ("len(proc.name) = 4", True),
        ("len(tolower(proc.name)) < 4", False),
        ("not proc.name = bash", False),
        ("not not proc.name = bash", True),
        ("not(proc.name = zsh)", True),
    ],
)
def test_an_operator_on_text(match: Match, condition: str, expected: bool) -> None:
    """Each operator on a text says what Falco's says."""
    assert match(condition, proc__name=NAME) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("proc.tty = 0x10", True),
        ("proc.tty>=16", True),
        ("proc.tty > 16", False),
        ("proc.tty < 17", True),
        ("proc.tty <= 15.5", False),
        ("proc.tty in (1, 16)", True),
        ("proc.tty != -1", True),
        ("proc.ratio = 0.5", True),
        ("proc.ratio < 5e-1", False),
        ("proc.ratio != 0.5", False),
        ("proc.is_new = true", True),
        ("proc.is_new=false", False),
        ("proc.is_new != false", True),
    ],
)
def test_an_operator_on_a_number_or_a_flag(match: Match, condition: str, expected: bool) -> None:
    """Numbers are compared as numbers, hexadecimal ones too; flags as true and false."""
    assert match(condition, proc__tty=16, proc__ratio=0.5, proc__is_new=True) is expected


@pytest.mark.parametrize(
    "operator", ["= x", "!= x", "in (x)", "contains x", "startswith x", "endswith x", "glob *", "exists", "pmatch (/)"]
)
def test_a_comparison_with_an_absent_value_never_holds(match: Match, operator: str) -> None:
    """An absent field makes every comparison false, `!=` too, and so its negation true."""
    assert match(f"proc.pname {operator}") is False
    assert match(f"not proc.pname {operator}") is True


def test_an_empty_text_is_not_absent(match: Match) -> None:
    """A field that is there and empty exists and equals the empty text."""
    assert match('proc.name = "" and proc.name exists', proc__name="")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("proc.aname = sshd", True),
        ("proc.aname in (cron, sshd)", True),
        ("proc.aname in (cron)", False),
        ("proc.aname != sshd", True),
        ("not proc.aname = sshd", False),
        ("proc.aname startswith ss", True),
        ("proc.aname exists", True),
        ("len(proc.aname) = 2", True),
        ("toupper(proc.aname) = SSHD", True),
        ("proc.marks in (a, b, c)", True),
        ("proc.marks in (a)", False),
        ("proc.marks intersects (a)", True),
        ("fd.port = 443", True),
        ("fd.port != 443", False),
        ("fd.port != 80", True),
        ("fd.port > 50000", True),
    ],
)
def test_a_list_valued_field(match: Match, condition: str, expected: bool) -> None:
    """A comparison holds for any ancestor; `in` wants every element of a set; `!=` wants both ends to differ."""
    assert match(condition, proc__aname=["sh", "sshd"], proc__marks=["a", "b"], fd__port=[443, 51000]) is expected


def test_an_empty_list_is_absent(match: Match) -> None:
    """A process without ancestors has none that differs from sshd, and none at all."""
    assert not match("proc.aname exists or proc.aname != sshd or len(proc.aname) = 0", proc__aname=[])


def test_an_index_picks_one_element(match: Match) -> None:
    """`proc.aname[2]` asks for one ancestor; an index may be a key where the field allows it."""
    values = {"proc.aname[2]": "sshd", "mount.dest[/etc]": "y"}
    assert match("proc.aname[2] = sshd and mount.dest[/etc] = y and not proc.aname[3] exists", **values)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("fd.sip = 10.1.2.3", True),
        ("fd.sip = 10.0.0.0/8", True),
        ('fd.sip in ("192.168.0.0/16", "10.0.0.0/8")', True),
        ("fd.sip != 10.0.0.0/8", False),
        ("fd.sip != 172.16.0.0/12", True),
        ("fd.sip = ::ffff:10.1.2.3", True),
        ("fd.sip = 2001:db8::/32", False),
        ("fd.ip = 127.0.0.1", True),
        ('fd.ip != "127.0.0.0/8"', False),
        ('fd.ip != "0.0.0.0"', True),
    ],
)
def test_addresses_are_compared_with_networks(match: Match, condition: str, expected: bool) -> None:
    """An address equals a network that holds it; `fd.ip` is either end."""
    assert match(condition, fd__sip="10.1.2.3", fd__ip=["127.0.0.1", "10.1.2.3"]) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("fd.name pmatch (/etc, /usr/lib)", True),
        ("fd.name pmatch (/usr/li)", False),
        ("fd.name pmatch (/usr/lib/)", True),
        ("fd.name pmatch (/)", True),
        ("basename(fd.name) = libc.so", True),
        ("fd.name glob /usr/*/libc.so", True),
        ('fd.name glob "/usr/[k-m]ib/???c.so"', True),
    ],
)
def test_paths(match: Match, condition: str, expected: bool) -> None:
    """pmatch goes by whole components; a star crosses slashes."""
    assert match(condition, evt__type="open", fd__name="/usr/lib/libc.so") is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("proc.name = val(proc.pname)", False),
        ("proc.name != val(proc.pname)", True),
        ("proc.name = tolower(proc.pname)", True),
        ("tolower(proc.name) = tolower(proc.pname)", True),
        ("proc.pname in val(proc.aname)", True),
        ("proc.aname startswith tolower(proc.pname)", True),
        ("proc.tty > val(evt.num)", True),
        ("proc.name = val(proc.cmdline)", False),
    ],
)
def test_a_field_against_a_field(match: Match, condition: str, expected: bool) -> None:
    """`val(…)` and transformers on the right compare with another field; an absent one makes it false."""
    values = {"proc__name": "bash", "proc__pname": "BASH", "proc__aname": ["bash-x", "BASH"]}
    assert match(condition, **values, proc__tty=3, evt__num=2) is expected


def test_and_binds_tighter_than_or(match: Match) -> None:
    """`a or b and c` is `a or (b and c)`."""
    assert match("proc.name = bash or proc.name = x and proc.tty = 9", proc__name="bash", proc__tty=1)
    assert not match("(proc.name = bash or proc.name = x) and proc.tty = 9", proc__name="bash", proc__tty=1)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("/usr/bin/*:x@y-z.so", "/usr/bin/*:x@y-z.so"),
        ("runc:[1:CHILD]", "runc:[1:CHILD]"),
        ('"a b"', "a b"),
        ("'a \"b\"'", 'a "b"'),
        (r'"a \"b\" \\ \t"', 'a "b" \\ \t'),
        ("a'b", "a'b"),
        ("sh-(", None),
    ],
)
def test_how_values_are_written(match: Match, written: str, value: str | None) -> None:
    """A bare value holds anything but white space, parentheses, commas and `=`; quotes hold everything."""
    if value is None:
        with pytest.raises(Exception, match="expected"):
            match(f"proc.name = {written}")
    else:
        assert match(f"proc.name={written}", proc__name=value)


def test_names_of_lists_stand_for_their_items(match: Match) -> None:
    """Lists nest, may be used with and without parentheses, and quoted names are plain texts."""
    lists = "- list: shells\n  items: [sh, more]\n- list: more\n  items: [bash, '\"a b\"']\n"
    assert match("proc.name in (zsh, shells)", lists, proc__name="bash")
    assert match("proc.name in shells", lists, proc__name="a b")
    assert not match('proc.name in ("shells")', lists, proc__name="bash")
    assert match('proc.name in ("shells")', lists, proc__name="shells")


def test_a_list_keeps_words_as_written(match: Match) -> None:
    """`yes`, `on` and `0x10` in a list are the names of programs they look like, not what YAML makes of them."""
    assert match("proc.name in (odd)", "- list: odd\n  items: [yes, 010, null]\n", proc__name="010")
    assert match("proc.name in (odd)", "- list: odd\n  items: [yes, 010, null]\n", proc__name="yes")


def test_macros_stand_for_their_conditions(match: Match) -> None:
    """A macro may use macros defined after it, and is one term whatever it holds."""
    macros = "- macro: a\n  condition: b or proc.tty = 1\n- macro: b\n  condition: proc.name = x\n"
    assert match("a and proc.name = bash", macros, proc__name="bash", proc__tty=1)
    assert not match("not a", macros, proc__name="x", proc__tty=2)
