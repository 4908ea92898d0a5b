"""`outrider findings`: what a collector has found, and what becomes of it."""

import argparse
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from outrider_cli.asking import add_collector_arguments, asking
from outrider_collector.api.findings import FindingDetail
from outrider_collector.client import Client
from outrider_collector.render import findings_table
from outrider_collector.store.suppressing import FIELDS, Condition
from outrider_wire.errors import ConfigError
from outrider_wire.text import printable

PAGE = 1000
TEXTS = (
    "type",
    "rule",
    "account",
    "region",
    "cluster",
    "family",
    "task",
    "container",
    "image",
    "process",
    "executable",
    "assignee",
    "since",
    "until",
    "text",
)
HELP = {
    "type": "only types that begin so",
    "since": "only those last seen at or after this time, RFC 3339",
    "until": "only those last seen before this time",
    "text": "only those with these words; `word*` is the beginning of one",
    "task": "only those of this task's ARN",
}
_CONDITION = re.compile(r"([a-z_]+(?:\.[^=!~^*]+)?)(=|!=|~=|\^=|\*=)(.*)", re.DOTALL)
_OPERATORS = {"=": "=", "!=": "!=", "~=": "contains", "^=": "startswith", "*=": "glob"}
_FULL_ID = re.compile(r"[0-9a-f]{32}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)
    _add_filters(parser)
    where = argparse.ArgumentParser(add_help=False)
    add_collector_arguments(where, again=True)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", parents=[where], help="one finding with notes and occurrences")
    show.add_argument("id")
    archive = actions.add_parser("archive", parents=[where], help="take findings as dealt with")
    archive.add_argument("--why", default="", help="why, for the audit log")
    reopen = actions.add_parser("reopen", parents=[where], help="make findings new again")
    assign = actions.add_parser("assign", parents=[where], help="make findings somebody's")
    assign.add_argument("--to", required=True, metavar="WHO", help="whose; empty is nobody's")
    for each in (archive, reopen, assign):
        each.add_argument("ids", nargs="+", metavar="ID")
    note = actions.add_parser("note", parents=[where], help="say something of a finding")
    note.add_argument("id")
    note.add_argument("said", metavar="TEXT")
    suppress = actions.add_parser("suppress", parents=[where], help="make a suppression rule")
    suppress.add_argument("conditions", nargs="+", metavar="FIELD=VALUE", help="also != ~= (contains) ^= (begins) *=")
    suppress.add_argument("--why", required=True, help="why this is nothing to look at")
    suppress.add_argument("--expires", default="", metavar="TIME", help="when it ends, RFC 3339 (default: never)")
    suppress.add_argument("--apply", action="store_true", help="also to what is there already")
    unsuppress = actions.add_parser("unsuppress", parents=[where], help="take a suppression rule away")
    unsuppress.add_argument("number", type=int)
    actions.add_parser("suppressions", parents=[where], help="list the suppression rules")


def run(arguments: argparse.Namespace) -> int:
    with asking(arguments) as client:
        if arguments.action is None:
            return _list(client, arguments)
        _say(arguments, ACTIONS[arguments.action](client, arguments))
    return 0


def read_condition(text: str) -> Condition:
    """A condition such as `family=web` or `executable*=/tmp/*`. Raises ConfigError."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no condition; write FIELD=VALUE, with a field of {', '.join(FIELDS)}")
    return Condition(field=found[1], operator=_OPERATORS[found[2]], value=found[3])  # type: ignore[arg-type]


def resolve(client: Client, names: Iterable[str]) -> list[str]:
    """Whole ids from their beginnings, as the table shows them. Raises ConfigError for one that is none or several."""
    names = list(names)
    if all(map(_FULL_ID.fullmatch, names)):
        return names
    recent = [each.id for each in client.findings(limit=PAGE).findings]
    return [name if _FULL_ID.fullmatch(name) else _only(name, recent) for name in names]


def _only(name: str, recent: list[str]) -> str:
    found = [each for each in recent if each.startswith(name)]
    if len(found) != 1 or len(name) < 4:
        many = "several findings begin" if found else f"none of the {PAGE} latest findings begins"
        raise ConfigError(f"{many} with {name!r}; give more of the id")
    return found[0]


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many, the latest")
    parser.add_argument("--cursor", default="", help="the page after this one's `next`")
    parser.add_argument("--sort", choices=("last_seen", "severity"), default="last_seen")
    parser.add_argument("--severity", action="append", choices=("LOW", "MEDIUM", "HIGH"), default=[])
    parser.add_argument("--state", action="append", choices=("new", "archived", "suppressed"), default=[])
    for name in TEXTS:
        parser.add_argument(f"--{name}", default="", help=HELP.get(name, f"only those of this {name}"))
    parser.add_argument("--fail-on-findings", action="store_true", help="exit with 1 when there are any")


def _list(client: Client, arguments: argparse.Namespace) -> int:
    filters = {name: getattr(arguments, name) for name in (*TEXTS, "severity", "state", "sort")}
    page = client.findings(limit=arguments.limit, cursor=arguments.cursor, **filters)
    if arguments.json:
        for finding in page.findings:
            sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
    else:
        print(findings_table(page.findings, width=shutil.get_terminal_size((160, 40)).columns))
        if page.next:
            print(f"more: --cursor {page.next}")
    return 1 if arguments.fail_on_findings and page.findings else 0


def _show(client: Client, arguments: argparse.Namespace) -> FindingDetail:
    return client.finding(resolve(client, [arguments.id])[0])


def _suppress(client: Client, arguments: argparse.Namespace) -> object:
    conditions = [read_condition(text) for text in arguments.conditions]
    made = client.suppress(conditions, why=arguments.why, expires_at=arguments.expires)
    if arguments.apply:
        print(f"{client.apply(made.number).findings} findings are suppressed", file=sys.stderr)
    return made


ACTIONS: Final[dict[str, Callable[[Client, argparse.Namespace], object]]] = {
    "show": _show,
    "archive": lambda client, a: client.archive(resolve(client, a.ids), why=a.why),
    "reopen": lambda client, a: client.reopen(resolve(client, a.ids)),
    "assign": lambda client, a: client.assign(resolve(client, a.ids), a.to),
    "note": lambda client, a: client.note(resolve(client, [a.id])[0], a.said),
    "suppress": _suppress,
    "unsuppress": lambda client, a: client.unsuppress(a.number),
    "suppressions": lambda client, _: client.suppressions(),
}


def _say(arguments: argparse.Namespace, said: object) -> None:
    """JSON on one line, or indented for people; every odd character is escaped for a terminal."""
    encoded = msgspec.json.encode(said)
    if arguments.json:
        sys.stdout.buffer.write(encoded + b"\n")
        return
    for line in msgspec.json.format(encoded, indent=2).decode().splitlines():
        print(printable(line))
