"""`outrider lists`: which threat lists are in force at a collector, and how each of their sources stands."""

import argparse
import shutil
import sys

import msgspec

from outrider_cli.asking import add_collector_arguments, asking
from outrider_collector.lists.publishing import ListsState
from outrider_collector.render import sources_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="all there is to know of one source")
    parser.add_argument("--fail-on-error", action="store_true", help="exit with 1 when a source, or all of it, fails")


def run(arguments: argparse.Namespace) -> int:
    with asking(arguments) as client:
        state = client.lists()
    chosen = [each for each in state.sources if arguments.name in ("", each.name)]
    if arguments.name and not chosen:
        print(f"outrider lists: there is no source {arguments.name!r}", file=sys.stderr)
        return 2
    if arguments.json or arguments.name:
        for each in chosen:
            line = msgspec.json.encode(each)
            sys.stdout.buffer.write((line if arguments.json else msgspec.json.format(line)) + b"\n")
        sys.stdout.flush()
    else:
        print(_in_force(state))
        print(sources_table(chosen, width=shutil.get_terminal_size((160, 40)).columns))
    failing = bool(state.error) or any(each.error for each in chosen)
    return 1 if arguments.fail_on_error and failing else 0


def _in_force(state: ListsState) -> str:
    """What sidecars have, or are getting, in a line."""
    if not state.version:
        return "no lists are in force" + (f": {state.error}" if state.error else "")
    shape = state.shape
    counts = f"{shape.domains} domains, {shape.ipv4 + shape.ipv6} networks, {shape.files} digests"
    left = f", {sum(state.left_out.values())} had no room" if state.left_out else ""
    return f"version {state.version}: {counts}, {state.size} bytes{left}" + (f"; {state.error}" if state.error else "")
