"""`outrider doctor`: what can be seen here, why not the rest, and what is silenced."""

import argparse
import json
import os

import msgspec

from outrider_sidecar.app import probe_all
from outrider_sidecar.settings import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    settings, _ = load(os.environ)
    capabilities = probe_all(in_task=bool(settings.metadata_uri))
    if arguments.json:
        document = {
            "capabilities": [msgspec.to_builtins(c) for c in capabilities],
            "expected_drift": [msgspec.to_builtins(e) for e in settings.expected_drift],
            "tracing_off": list(settings.tracing_off),
        }
        print(json.dumps(document, indent=2))
        return 0
    for capability in capabilities:
        mark = "sees " if capability.available else "BLIND"
        print(f"{mark}  {capability.sense:<10} {capability.sensor:<10} {capability.reason}")
        if capability.remedy and not capability.available:
            print(f"{'':<7}remedy: {capability.remedy}")
    for entry in settings.expected_drift:
        print(f"quiet  drift      {msgspec.json.encode(entry).decode()}")
    for name in settings.tracing_off:
        print(f"quiet  tracing    container {name} is not traced, only polled")
    return 0
