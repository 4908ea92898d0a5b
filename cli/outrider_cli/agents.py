"""`outrider agents`: who reports to a collector, and who fell silent."""

import argparse
import shutil
import sys

import msgspec

from outrider_cli.asking import add_collector_arguments, client_of
from outrider_collector.render import agents_table
from outrider_wire.errors import DeliveryError, Unavailable, WireError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_collector_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    try:
        agents = client_of(arguments).agents(limit=1000).agents
    except (DeliveryError, WireError) as error:
        raise Unavailable(f"the collector did not answer: {error}") from error
    if arguments.json:
        for agent in agents:
            sys.stdout.buffer.write(msgspec.json.encode(agent) + b"\n")
    else:
        print(agents_table(agents, width=shutil.get_terminal_size((160, 40)).columns))
    return 0
