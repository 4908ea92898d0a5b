"""`outrider`: one command, whose subcommands import what they need when they are called.

The bare install is the sidecar, so a subcommand may be there whose libraries are not: that is looked at before it
is called, and said with the name of the extra that brings them.

Exit codes: 0 ok, 1 findings (where asked to fail on them), 2 misuse, 77 not possible here.
"""

import argparse
import errno
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Final

from outrider_wire.errors import ConfigError, Unavailable

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the kernel says where a place takes no more."""

MISUSE: Final = 2
NOT_POSSIBLE: Final = 77

COMMANDS: Final = (
    ("watch", "outrider_cli.watch", "run one command under watch on this machine"),
    ("lab", "outrider_cli.lab", "run a command in a real task shaped like Fargate's, on this machine"),
    ("run", "outrider_cli.run", "the sidecar: guard the task it is in"),
    ("health", "outrider_cli.health", "whether the sidecar of this container is well"),
    ("doctor", "outrider_cli.doctor", "what can be seen here, and why not the rest"),
    ("inject", "outrider_cli.inject", "guard task definitions, in files and where they run, or take the sidecar out"),
    ("unit", "outrider_cli.unit", "the systemd unit that guards this machine, with limits by its size"),
    ("collector", "outrider_cli.collector", "the collector"),
    ("findings", "outrider_cli.findings", "ask a collector for findings, and decide what becomes of them"),
    ("events", "outrider_cli.events", "ask the event lake: what happened in a task, and around a finding"),
    ("agents", "outrider_cli.agents", "ask a collector for its agents"),
    ("verify", "outrider_cli.verify", "prove from stored bytes that an agent's record is whole"),
    ("tokens", "outrider_cli.tokens", "make, list and revoke a collector's tokens"),
    ("lists", "outrider_cli.lists", "which threat lists a collector has in force, and how their sources stand"),
    ("exports", "outrider_cli.exports", "how a collector's exports stand, and what they gave up"),
    ("rules", "outrider_cli.rules", "list, check or test rules"),
    ("replay", "outrider_cli.replay", "run rules over the recorded events of a journal or of batches"),
    ("fields", "outrider_cli.fields", "the fields a rule may use"),
)
"""Name, module and what it does. Each module has `add_arguments(parser)` and `run(arguments) -> int`."""

COLLECTOR_LIBRARIES: Final = ("sqlalchemy", "starlette", "uvicorn")

NEEDS: Final = {
    "lab": ("lab", ("outrider_lab", "outrider_collector", *COLLECTOR_LIBRARIES)),
    "collector": ("collector", ("outrider_collector", *COLLECTOR_LIBRARIES)),
    "findings": ("collector", ("outrider_collector", *COLLECTOR_LIBRARIES)),
    "events": ("collector", ("outrider_collector", "duckdb", "pyarrow")),
    "agents": ("collector", ("outrider_collector", *COLLECTOR_LIBRARIES)),
    "exports": ("collector", ("outrider_collector", *COLLECTOR_LIBRARIES)),
    "lists": ("collector", ("outrider_collector", *COLLECTOR_LIBRARIES)),
    "tokens": ("collector", ("outrider_collector", "sqlalchemy")),
    "verify": ("collector", ("outrider_collector", "sqlalchemy")),
}
"""What a subcommand needs beyond the sidecar: the extra that brings it, and the packages it is known by."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        print(f"outrider: {error}", file=sys.stderr)
        return MISUSE
    except Unavailable as error:
        print(f"outrider: not possible here: {error}", file=sys.stderr)
        return NOT_POSSIBLE
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(f"outrider: the output could not be written: {error.strerror}", file=sys.stderr)
        _leave_unwritten()
        return MISUSE


def _leave_unwritten() -> None:
    """What is left in the buffer cannot be written either: the interpreter is not to try it at its end."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def check_needs(command: str) -> None:
    """Raises Unavailable where this install lacks what a subcommand needs, with the extra that brings it."""
    extra, packages = NEEDS.get(command, ("", ()))
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        what = f"`outrider {command}` needs {', '.join(missing)}, which this install lacks"
        raise Unavailable(what, f"install outrider[{extra}]")


def _run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="outrider", description="A runtime guard for containers on Amazon ECS.")
    subparsers = parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), "")
    for name, module, purpose in COMMANDS:
        subparser = subparsers.add_parser(name, help=purpose, description=purpose.capitalize() + ".")
        if name == chosen:
            check_needs(name)
            importlib.import_module(module).add_arguments(subparser)
    arguments = parser.parse_args(argv)
    module = next(module for name, module, _ in COMMANDS if name == arguments.subcommand)
    return int(importlib.import_module(module).run(arguments))


if __name__ == "__main__":
    sys.exit(main())
