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
    print(json.dumps(said, indent=2) if arguments.json else "well")
    return 0
