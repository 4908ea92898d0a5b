"""`outrider lists`: which threat lists are in force at a collector, how their sources stand, and lists by hand."""

import argparse
import shutil
import sys
import time

import msgspec

from outrider_cli.asking import add_collector_arguments, asking
from outrider_cli.tokens import read_end
from outrider_collector.client import Client
from outrider_collector.lists.entry_operations import MAX_VALUES, EntryView, NewEntries, OldEntries
from outrider_collector.lists.publishing import ListsState
from outrider_collector.render import entries_table, sources_table
from outrider_wire.errors import ConfigError
from outrider_wire.timestamps import to_rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)
    parser.add_argument("--fail-on-error", action="store_true", help="exit with 1 when a source, or all of it, fails")
    where = argparse.ArgumentParser(add_help=False)
    add_collector_arguments(where, again=True)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", parents=[where], help="all there is to know of one source")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--fail-on-error", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add = actions.add_parser("add", parents=[where], help="list domains, addresses, networks or digests by hand")
    says = add.add_mutually_exclusive_group()
    says.add_argument("--category", default="", metavar="WORD", help="what they are, such as c2 (default: malicious)")
    says.add_argument("--trusted", action="store_true", help="they silence, whatever other lists say of them")
    add.add_argument("--expires", default="", metavar="90d|RFC3339", help="when it ends (default: never)")
    remove = actions.add_parser("remove", parents=[where], help="take off what was listed by hand")
    for each in (add, remove):
        each.add_argument("list", metavar="LIST", help="a list by hand; it is there as long as it has entries")
        each.add_argument("values", metavar="VALUE", nargs="+")
        each.add_argument("--why", default="", help="why, for the audit log")
    entries = actions.add_parser("entries", parents=[where], help="what was listed by hand, when and by whom")
    entries.add_argument("list", metavar="LIST", nargs="?", default="", help="of this list alone")


def run(arguments: argparse.Namespace) -> int:
    with asking(arguments) as client:
        match arguments.action:
            case "add":
                _say(client.add_to_list(_new(arguments)).entries, arguments)
            case "remove":
                old = OldEntries(list=arguments.list, values=_bounded(arguments.values), why=arguments.why)
                _say(client.remove_from_list(old).entries, arguments)
            case "entries":
                _say(_all_entries(client, arguments.list), arguments)
            case _:
                return _show(client.lists(), arguments)
    return 0


def _show(state: ListsState, arguments: argparse.Namespace) -> int:
    name = arguments.name if arguments.action == "show" else ""
    chosen = [each for each in state.sources if name in ("", each.name)]
    if name and not chosen:
        print(f"outrider lists: there is no source {name!r}", file=sys.stderr)
        return 2
    if arguments.json or name:
        for each in chosen:
            line = msgspec.json.encode(each)
            sys.stdout.buffer.write((line if arguments.json else msgspec.json.format(line)) + b"\n")
        sys.stdout.flush()
    else:
        print(_in_force(state))
        print(sources_table(chosen, width=shutil.get_terminal_size((160, 40)).columns))
    failing = bool(state.error) or any(each.error for each in chosen)
    return 1 if arguments.fail_on_error and failing else 0


def _new(arguments: argparse.Namespace) -> NewEntries:
    """Raises ConfigError for an end that is none."""
    ends_at_ns = read_end(arguments.expires, time.time_ns())
    return NewEntries(
        list=arguments.list,
        values=_bounded(arguments.values),
        category=arguments.category,
        trusted=arguments.trusted,
        expires_at=to_rfc3339(ends_at_ns) if ends_at_ns else "",
        why=arguments.why,
    )


def _bounded(values: list[str]) -> list[str]:
    if len(values) > MAX_VALUES:
        raise ConfigError(f"{len(values)} values at once; at most {MAX_VALUES}, or make them a source (docs/lists.md)")
    return values


def _all_entries(client: Client, name: str) -> list[EntryView]:
    page = client.list_entries(name)
    found = page.entries
    while page.next:
        page = client.list_entries(name, cursor=page.next)
        found += page.entries
    return found


def _say(entries: list[EntryView], arguments: argparse.Namespace) -> None:
    if arguments.json:
        for each in entries:
            sys.stdout.buffer.write(msgspec.json.encode(each) + b"\n")
        sys.stdout.flush()
    else:
        print(entries_table(entries, width=shutil.get_terminal_size((160, 40)).columns))


def _in_force(state: ListsState) -> str:
    """What sidecars have, or are getting, in a line."""
    if not state.version:
        return "no lists are in force" + (f": {state.error}" if state.error else "")
    shape = state.shape
    counts = f"{shape.domains} domains, {shape.ipv4 + shape.ipv6} networks, {shape.files} digests"
    left = f", {sum(state.left_out.values())} had no room" if state.left_out else ""
    return f"version {state.version}: {counts}, {state.size} bytes{left}" + (f"; {state.error}" if state.error else "")
