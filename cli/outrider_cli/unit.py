"""`outrider unit`: the systemd unit that guards this machine, with limits by its size."""

import argparse
import os
import sys
from pathlib import Path

from outrider_cdk.limits import machine_memory_bytes
from outrider_cdk.unit import systemd_unit
from outrider_wire.errors import ConfigError

MEMINFO = Path("/proc/meminfo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--program", metavar="PATH", help="the installed command; default: the one that is running")


def run(arguments: argparse.Namespace) -> int:
    program = arguments.program or str(Path(sys.argv[0]).absolute())
    try:
        text = systemd_unit(
            cpus=os.cpu_count() or 1, machine_bytes=machine_memory_bytes(MEMINFO.read_text()), program=program
        )
    except ValueError as error:
        raise ConfigError(f"no unit: {error}") from error
    print(text, end="")
    return 0
