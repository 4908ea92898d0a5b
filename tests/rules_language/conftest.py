"""What the tests of the rule language share: a small catalogue over dicts, loading, and Falco's stock files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outrider_rules import Catalogue, Field, RulesError, RuleSet, RuleSource, load_rules

STOCK = Path(__file__).parents[3] / "shared" / "corpora" / "falco-rules"
STOCK_FILES = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")

_NUMBERS = frozenset(
    {"evt.num", "evt.rawres", "fd.num", "fd.port", "fd.sport", "fd.cport", "fd.lport", "fd.rport", "proc.vpid"}
    | {"proc.duration", "proc.tty", "user.uid", "user.loginuid", "group.gid", "proc.pid"}
)
_FLAGS = frozenset({"fd.connected", "fd.name_changed", "container.privileged", "proc.is_vpgid_leader"})
_ADDRESSES = frozenset({"fd.ip", "fd.net", "fd.sip", "fd.snet", "fd.cip", "fd.cnet", "fd.rnet", "fd.rip"})
_ENDS = frozenset({"fd.ip", "fd.net"})


def plain(name: str) -> Callable[[Any], Any]:
    """A getter of a key of a dict."""
    return lambda context: context.get(name)


def indexed(name: str) -> Callable[[Any, str], Any]:
    """A getter of `name[index]` of a dict."""
    return lambda context, index: context.get(f"{name}[{index}]")


def dict_field(name: str, kind: Any, **more: Any) -> Field:
    """A field that reads the key of its own name."""
    getter = indexed(name) if more.get("indexed") else plain(name)
    return Field(name=name, type=kind, get=getter, **more)


def small_fields() -> list[Field]:
    """A field of each type and manner."""
    return [
        dict_field("evt.type", "str"),
        dict_field("evt.num", "int"),
        dict_field("proc.name", "str"),
        dict_field("proc.pname", "str"),
        dict_field("proc.cmdline", "str"),
        dict_field("proc.tty", "int"),
        dict_field("proc.ratio", "float"),
        dict_field("proc.is_new", "bool"),
        dict_field("proc.aname", "list[str]"),
        dict_field("proc.aname", "str", indexed=True),
        dict_field("proc.marks", "list[str]", many="set"),
        dict_field("fd.name", "str", events=frozenset({"open", "connect"})),
        dict_field("fd.sport", "int", events=frozenset({"connect"})),
        dict_field("fd.port", "list[int]", many="ends"),
        dict_field("fd.sip", "ip"),
        dict_field("fd.ip", "list[ip]", many="ends"),
        dict_field("mount.dest", "str", indexed=True, index="key"),
    ]


def stock_sources() -> list[RuleSource]:
    """Falco's three files, or a skip where they are not at hand."""
    if not all((STOCK / name).is_file() for name in STOCK_FILES):
        pytest.skip("Falco's stock rule files are not beside the repository (shared/corpora/falco-rules)")
    return [RuleSource(name, (STOCK / name).read_bytes()) for name in STOCK_FILES]


def stock_fields(sources: list[RuleSource]) -> list[Field]:
    """A field for every name that looks like one in some rule files; types guessed by name."""
    text = "\n".join(source.text.decode() for source in sources if isinstance(source.text, bytes))
    pattern = re.compile(r"\b((?:evt|fd|proc|container|user|group|thread|k8s)(?:\.[a-z][a-z0-9_]*)+)(\[)?")
    found = sorted({(match[1], bool(match[2])) for match in pattern.finditer(text)} | {("proc.aname", False)})
    return [_guessed(name, with_index) for name, with_index in found]


def _guessed(name: str, with_index: bool) -> Field:
    if with_index:
        return dict_field(name, "str", indexed=True, index="key")
    if name == "proc.aname":
        return dict_field(name, "list[str]")
    if name in _ADDRESSES:
        return dict_field(name, "list[ip]" if name in _ENDS else "ip", many="ends" if name in _ENDS else "any")
    if name in _NUMBERS:
        return dict_field(name, "int")
    if name in _FLAGS or ".is_" in name:
        return dict_field(name, "bool")
    return dict_field(name, "str")


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The small catalogue."""
    return Catalogue(small_fields())


@pytest.fixture(scope="session")
def load(catalogue: Catalogue) -> Callable[..., RuleSet]:
    """Load texts as files `a.yaml`, `b.yaml`, …"""

    def load_texts(*texts: str | bytes) -> RuleSet:
        return load_rules([RuleSource(f"{chr(97 + n)}.yaml", text) for n, text in enumerate(texts)], catalogue)

    return load_texts


@pytest.fixture(scope="session")
def refuse(load: Callable[..., RuleSet]) -> Callable[..., RulesError]:
    """Load texts that must be refused, and give back the refusal."""

    def load_and_refuse(*texts: str | bytes) -> RulesError:
        with pytest.raises(RulesError) as caught:
            load(*texts)
        return caught.value

    return load_and_refuse


def condition_file(condition: str, output: str = "x") -> str:
    """A file of one rule."""
    folded = condition.replace("\n", "\n    ")
    return f"- rule: R\n  desc: d\n  priority: WARNING\n  output: {output!r}\n  condition: |\n    {folded}\n"


@pytest.fixture(scope="session")
def match(load: Callable[..., RuleSet]) -> Callable[..., bool]:
    """Whether a condition holds for a dict of field values; compiled and interpreted must say the same."""

    def matches(condition: str, before: str = "", **values: Any) -> bool:
        ruleset = load(before + condition_file(condition))
        context = {name.replace("__", "."): value for name, value in values.items()}
        event_type = context.setdefault("evt.type", "execve")
        compiled = bool(ruleset.evaluate(event_type, context))
        visible = {
            name: value
            for name, value in context.items()
            if (field := ruleset.catalogue.find(name)) is None or field.events is None or event_type in field.events
        }
        assert compiled == ruleset.rules[0].holds(visible)
        return compiled

    return matches


@pytest.fixture(scope="session")
def stock() -> list[RuleSource]:
    """Falco's three stock files."""
    return stock_sources()


@pytest.fixture(scope="session")
def stock_catalogue(stock: list[RuleSource]) -> Catalogue:
    """A catalogue that knows every field the stock files name."""
    return Catalogue(stock_fields(stock))
