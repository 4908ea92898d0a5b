"""`outrider rules list|check|test`: rules in force, how each stands, and what is wrong with a file of them."""

import argparse
import json
from typing import Any, Final, get_args

import msgspec

from outrider_cli.rehearse import run_tests
from outrider_rules import Arming, RuleRow, arm, count_states, describe
from outrider_sidecar.fields.supply import Mode, best_sight
from outrider_sidecar.rulebook import PACKS, load_rulebook

STATES: Final = {"armed": "armed", "substituted": "armed by substitution", "blind": "blind here"}
COUNTS: Final = ("armed", "substituted", "blind", "off")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|check|test")
    for name, purpose in (("list", "every rule in force and how it stands"), ("check", "whether rule files are right")):
        action = actions.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        action.add_argument("files", nargs="*" if name == "list" else "+", metavar="FILE")
        action.add_argument("--json", action="store_true", help="print as JSON")
        action.add_argument(
            "--mode", choices=get_args(Mode), default="task", help="where the rules are to be armed (default: task)"
        )
        action.add_argument("--reasons", action="store_true", help="say of each rule what is weaker or missing")
    test = actions.add_parser("test", help="run transcripts", description="Run the transcripts that test rules.")
    test.add_argument("files", nargs="+", metavar="FILE", help="transcripts, in YAML; see docs/rules.md")
    test.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "test":
        return run_tests(arguments)
    rules = load_rulebook(arguments.files)
    armings = arm(rules, best_sight(arguments.mode))
    rows = [
        (row, arming)
        for row, arming in zip(describe(rules), armings, strict=True)
        if arguments.action == "list" or row.respond or row.where.rpartition(":")[0] not in PACKS
    ]
    counts = count_states(arming for _, arming in rows)
    if arguments.json:
        shown = [_as_json(row, arming) for row, arming in rows]
        print(json.dumps({"mode": arguments.mode, "counts": counts, "rules": shown}, indent=2))
        return 0
    for row, arming in rows:
        if arguments.action == "list" or arming.state != "armed" or row.respond:
            print(_line(row, arming))
            if arguments.reasons or arguments.action == "check" or arming.state == "blind":
                for reason in arming.reasons:
                    print(f"    {reason}")
    print(f"{len(rows)} rules in a {arguments.mode}: " + ", ".join(_counted(counts)))
    return 0


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{counts[state]} {STATES.get(state, state)}" for state in COUNTS]


def _as_json(row: RuleRow, arming: Arming) -> dict[str, Any]:
    """Any: for printing. `armed` is the row's own word: whether the rule is evaluated, or why it is not."""
    facts: dict[str, Any] = msgspec.to_builtins(row)
    return facts | {
        "enabled": arming.enabled,
        "state": arming.state,
        "reasons": list(arming.reasons),
        "event_types": list(arming.event_types),
    }


def _line(row: RuleRow, arming: Arming) -> str:
    state = STATES[arming.state] if arming.enabled else f"off, else {STATES[arming.state]}"
    does = f"  respond: {row.respond}" if row.respond else ""
    return f"{row.severity:<7}{row.name:<52} {state:<32} {row.finding:<46} {row.where}{does}"
