"""`outrider collector`: run the collector. Its settings come from OUTRIDER_COLLECTOR_* and options."""

import argparse

from outrider_collector.cli import main


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("options", nargs=argparse.REMAINDER, help="see `outrider collector -- --help`")


def run(arguments: argparse.Namespace) -> int:
    options = arguments.options[1:] if arguments.options[:1] == ["--"] else arguments.options
    return main(options)
