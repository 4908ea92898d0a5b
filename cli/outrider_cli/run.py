"""`outrider run`: guard a task as its sidecar, or a host. `--print-settings` shows each setting and its source."""

import argparse
import os
from pathlib import Path

from outrider_sidecar import __main__ as sidecar
from outrider_sidecar.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings as TOML; the environment wins over it")
    parser.add_argument(
        "--mode", choices=("auto", "task", "host"), help="what to guard (default: as the setting mode has it)"
    )
    parser.add_argument("--print-settings", action="store_true", help="show the settings and where each comes from")


def run(arguments: argparse.Namespace) -> int:
    if arguments.config:
        os.environ["OUTRIDER_CONFIG"] = arguments.config
    if arguments.mode:
        os.environ["OUTRIDER_MODE"] = arguments.mode
    if not arguments.print_settings:
        return sidecar.main()
    _, sources = load(os.environ, file=Path(arguments.config) if arguments.config else None)
    for source in sources:
        value = "(hidden)" if source.name == "token" and source.value else repr(source.value)
        print(f"{source.name} = {value}    # {source.source}")
    return 0
