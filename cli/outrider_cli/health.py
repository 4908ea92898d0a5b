"""`outrider health`: exit 0 when the sidecar of this container is well, 1 when not; for ECS's health check."""

import argparse
import json
import os
from pathlib import Path

from outrider_sidecar.health import read_health
from outrider_sidecar.settings import load
from outrider_wire.errors import Unavailable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print all that the sidecar says of itself")


def run(arguments: argparse.Namespace) -> int:
    settings, _ = load(os.environ)
    try:
        said = read_health(Path(settings.journal_dir))
    except Unavailable as error:
        print(f"not well: {error}")
        return 1
    if arguments.json:
        from outrider_cli.usage import usage_of  # psutil takes a moment that the plain check need not spend

        said["usage"] = usage_of(int(said.get("pid", 0)))
        print(json.dumps(said, indent=2))
    else:
        print("well")
    return 0
