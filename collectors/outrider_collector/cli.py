"""The collector's own command line: settings as `--name value`, on top of the environment."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence

from outrider_collector.settings import Settings, load_settings
from outrider_wire.errors import ConfigError

MISUSE = 2


def main(arguments: Sequence[str]) -> int:
    """Run the collector; 2 when its settings do not hold.

    Once it takes requests it prints one line of JSON: {"event": "listening", "url": …}.
    """
    try:
        settings = load_settings(os.environ, read_arguments(arguments))
        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
        try:
            from outrider_collector.app import serve  # the imports behind it take most of the start
        except ModuleNotFoundError as error:
            raise ConfigError(f"{error.name} is not installed; install outrider[collector]") from error
        serve(settings, ready=_say_ready)
    except ConfigError as error:
        print(f"outrider collector: {error}", file=sys.stderr)
        return MISUSE
    return 0


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """`--listen`, `--data` and the rest, as settings by name."""
    parser = argparse.ArgumentParser(prog="outrider collector", description="Take signed batches and keep findings.")
    for name in Settings.__struct_fields__:
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, default=argparse.SUPPRESS)
    return vars(parser.parse_args(arguments))


def _say_ready(url: str) -> None:
    print(json.dumps({"event": "listening", "url": url}), flush=True)
