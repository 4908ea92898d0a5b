"""docs/detections.md: every rule of the built-in pack with all it says of itself, and the attacks that prove it."""

import re
from typing import Any, Final

import yaml

from outrider_cli.reference.markdown import MADE_BY, one_line, page, table
from outrider_lab.attacks import ATTACKS, LISTED
from outrider_lab.attacks.quiet import QUIET
from outrider_rules import Rule
from outrider_sidecar.folding import STORM
from outrider_sidecar.rulebook import builtin_sources, load_rulebook

_INTRODUCTION = """\
# Detections

{made_by}

What the built-in pack finds, from its rules; types of finding are named in GuardDuty's grammar. For each rule: what it
sees and misses, what ordinary work might set it off, and the attacks that `tests/attacks` really plays in a task to
hold it to its word. Findings about the guard itself (`Outrider:Integrity/…`) are in [operations.md](operations.md).

A finding that repeats another (`told once for each`) is folded into it for an hour. Of one rule at most {most}
findings a minute are told.
"""

_TECHNIQUE: Final = re.compile(r"T\d{4}(?:\.\d{3})?")


def detections_page() -> str:
    """The whole page."""
    rules = load_rulebook().rules
    written = {item["rule"]: item for item in _items() if "rule" in item}
    overview = [(f"`{rule.finding}`", rule.severity, rule.name, _techniques(rule)) for rule in rules]
    parts = [
        _INTRODUCTION.format(made_by=MADE_BY, most=STORM),
        table(("finding", "severity", "rule", "ATT&CK"), overview),
    ]
    for finding in dict.fromkeys(rule.finding for rule in rules):
        parts.append(f"\n## {finding}\n")
        parts += [_section(rule, written[rule.name]) for rule in rules if rule.finding == finding]
        parts.append(_attacks(finding))
    parts += ["\n## Macros and lists\n", _macros(), "\n## Quiet twins\n", _twins()]
    return page(*parts)


def _section(rule: Rule, written: dict[str, Any]) -> str:
    rows = [
        ("severity", f"{rule.severity} (Falco's priority {rule.priority})"),
        ("sees", rule.sees),
        ("misses", rule.misses),
        ("noise", rule.noise),
        ("what to do", rule.remedy),
        ("told once for each", f"`{written['fold']}`" if "fold" in written else ""),
        ("tags", ", ".join(rule.tags)),
    ]
    facts = table(("", ""), [(name, text) for name, text in rows if text])
    return f"### {rule.name}\n\n{one_line(rule.desc)}\n\n{_code(written['condition'])}\n{facts}"


def _attacks(finding: str) -> str:
    played = [f"- `{attack.name}`: {attack.idea}" for attack in (*ATTACKS, *LISTED) if attack.finding == finding]
    allowed = [f"- `{quiet.name}` may raise it: {quiet.idea}" for quiet in QUIET if finding in quiet.allowed]
    return "Played by the tests:\n\n" + "\n".join(played + allowed) + "\n"


def _twins() -> str:
    said = "Work that looks much like an attack, played by the same tests: it raises nothing, or what is said.\n"
    return "\n".join([said, *(f"- `{twin.name}`: {twin.idea}" for twin in QUIET)]) + "\n"


def _macros() -> str:
    rows = []
    for item in _items():
        if "macro" in item:
            rows.append((f"`{item['macro']}`", f"`{one_line(item['condition'])}`"))
        elif "list" in item:
            rows.append((f"`{item['list']}`", ", ".join(f"`{each}`" for each in item["items"])))
    return table(("name", "stands for"), rows)


def _items() -> list[dict[str, Any]]:
    """The packs as plain YAML: the loaded rules keep their conditions as trees."""
    return [item for source in builtin_sources() for item in yaml.safe_load(source.text)]


def _techniques(rule: Rule) -> str:
    return ", ".join(tag for tag in rule.tags if _TECHNIQUE.fullmatch(tag))


def _code(text: str) -> str:
    return f"```\n{one_line(text)}\n```\n"
