"""`outrider doctor`: what can be seen here, why not the rest, and what is silenced."""

import argparse
import json
import os

import msgspec

from outrider_sidecar.app import probe_mode
from outrider_sidecar.modes import Name
from outrider_sidecar.modes.choice import is_on_host
from outrider_sidecar.modes.task import probe_task
from outrider_sidecar.sensors import Capability
from outrider_sidecar.settings import Settings, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print as JSON")


def choose_here(settings: Settings) -> Name:
    """The mode that `outrider run` would have here; a task's where it would refuse, to show what is missing."""
    if settings.mode != "auto":
        return settings.mode
    return "host" if is_on_host() else "task"


def probe_here(settings: Settings, mode: Name) -> tuple[Capability, ...]:
    """What can be seen here; a neighbour's processes are tried only where there is a task."""
    return probe_task(in_task=bool(settings.metadata_uri)) if mode == "task" else probe_mode(mode, settings)


def run(arguments: argparse.Namespace) -> int:
    settings, _ = load(os.environ)
    mode = choose_here(settings)
    capabilities = probe_here(settings, mode)
    if arguments.json:
        document = {
            "mode": mode,
            "capabilities": [msgspec.to_builtins(c) for c in capabilities],
            "expected_drift": [msgspec.to_builtins(e) for e in settings.expected_drift],
            "tracing_off": list(settings.tracing_off),
            "include": list(settings.include),
            "exclude": list(settings.exclude),
            "respond": settings.respond,
        }
        print(json.dumps(document, indent=2))
        return 0
    print(f"mode   {mode}")
    for capability in capabilities:
        mark = "sees " if capability.available else "BLIND"
        print(f"{mark}  {capability.sense:<10} {capability.sensor:<10} {capability.reason}")
        if capability.remedy and not capability.available:
            print(f"{'':<7}remedy: {capability.remedy}")
    for entry in settings.expected_drift:
        print(f"quiet  drift      {msgspec.json.encode(entry).decode()}")
    for name in settings.tracing_off:
        print(f"quiet  tracing    container {name} is not traced, only polled")
    for selector in settings.exclude:
        print(f"quiet  all        containers that match {selector} are excluded")
    if settings.include:
        print(f"quiet  all        containers that match none of {', '.join(settings.include)} are excluded")
    return 0
