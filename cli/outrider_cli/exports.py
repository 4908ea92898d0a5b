"""`outrider exports`: how a collector's exports stand, what they gave up, and having that tried again."""

import argparse
import shutil
import sys
from collections.abc import Sequence

import msgspec

from outrider_cli.asking import add_collector_arguments, asking
from outrider_collector.export.operations import DeadFinding, ExportView
from outrider_collector.render import dead_table, exports_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="how each export stands")
    listing.add_argument("--fail-on-dead", action="store_true", help="exit with 1 when one gave up findings, or fails")
    dead = actions.add_parser("dead", help="findings that an export gave up, the latest first, and why")
    dead.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many")
    retry = actions.add_parser("retry", help="try again what an export gave up")
    retry.add_argument("--all", action="store_true", help="all of them")
    for action in (listing, dead, retry):
        add_collector_arguments(action, again=True)
    for action in (dead, retry):
        action.add_argument("export", metavar="NAME", help="the export, as `list` names it")
    retry.add_argument("findings", metavar="ID", nargs="*", help="ids of findings, as `dead` shows them")


def run(arguments: argparse.Namespace) -> int:
    with asking(arguments) as client:
        match arguments.action:
            case "list":
                found = client.exports().exports
                _print_exports(found, as_json=arguments.json)
                ill = any(each.dead or each.failing_since for each in found)
                return 1 if arguments.fail_on_dead and ill else 0
            case "dead":
                _print_dead(client.dead(arguments.export, limit=arguments.limit).dead, as_json=arguments.json)
            case "retry":
                if not arguments.findings and not arguments.all:
                    print("outrider exports retry: which findings? give their ids, or --all", file=sys.stderr)
                    return 2
                done = client.retry(arguments.export, arguments.findings)
                print(msgspec.json.encode(done).decode() if arguments.json else f"{done.findings} will be tried again")
    return 0


def _print_exports(found: Sequence[ExportView], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        print(exports_table(found, width=shutil.get_terminal_size((160, 40)).columns))


def _print_dead(found: Sequence[DeadFinding], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
    else:
        print(dead_table(found, width=shutil.get_terminal_size((160, 40)).columns))


def _print_json(found: Sequence[msgspec.Struct]) -> None:
    for each in found:
        sys.stdout.buffer.write(msgspec.json.encode(each) + b"\n")
    sys.stdout.flush()
