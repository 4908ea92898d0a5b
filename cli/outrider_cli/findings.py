"""`outrider findings`: what a collector has found."""

import argparse
import shutil
import sys

import msgspec

from outrider_cli.asking import add_collector_arguments, client_of
from outrider_collector.render import findings_table
from outrider_wire.errors import DeliveryError, Unavailable, WireError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many, the newest")
    parser.add_argument("--since", default="", metavar="TIME", help="only those at or after this time, RFC 3339")
    parser.add_argument("--type", default="", metavar="PREFIX", help="only types that begin so")
    parser.add_argument("--fail-on-findings", action="store_true", help="exit with 1 when there are any")


def run(arguments: argparse.Namespace) -> int:
    try:
        page = client_of(arguments).findings(limit=arguments.limit, since=arguments.since, type_prefix=arguments.type)
    except (DeliveryError, WireError) as error:
        raise Unavailable(f"the collector did not answer: {error}") from error
    if arguments.json:
        for finding in page.findings:
            sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
    else:
        print(findings_table(page.findings, width=shutil.get_terminal_size((160, 40)).columns))
    return 1 if arguments.fail_on_findings and page.findings else 0
