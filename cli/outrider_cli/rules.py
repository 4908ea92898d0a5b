"""`outrider rules list|check`: which rules are in force, and what is wrong with a file of them."""

import argparse
import json

import msgspec

from outrider_rules import RuleRow, describe
from outrider_sidecar.rulebook import load_rulebook


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|check")
    for name, purpose in (("list", "every rule in force"), ("check", "whether rule files are right")):
        action = actions.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        action.add_argument("files", nargs="*" if name == "list" else "+", metavar="FILE")
        action.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    rows = describe(load_rulebook(arguments.files))
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(row) for row in rows], indent=2))
        return 0
    if arguments.action == "list":
        for row in rows:
            print(_line(row))
    armed = sum(row.armed == "armed" for row in rows)
    print(f"{len(rows)} rules, {armed} armed, {len(rows) - armed} not")
    return 0


def _line(row: RuleRow) -> str:
    return f"{row.severity:<7}{row.finding:<46}{row.name:<36}{row.armed:<10}{row.where}"
