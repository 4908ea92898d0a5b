"""`outrider watch [--json FILE] -- CMD…`: run one command under watch; its exit code is CMD's."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from outrider_cli.show import finding_block
from outrider_rules import arm
from outrider_sidecar.fields.supply import sight_here
from outrider_sidecar.intel import load_intel
from outrider_sidecar.linux.procfs import CAP_SYS_PTRACE, has_capability
from outrider_sidecar.outlets import LinesSink, Sinks, TellSink
from outrider_sidecar.rulebook import count_text, load_rulebook
from outrider_sidecar.sensors import Capability
from outrider_sidecar.watching import probe_watch, watch_command
from outrider_wire.errors import ConfigError
from outrider_wire.findings import Finding

if TYPE_CHECKING:
    from outrider_sidecar.falco_output import FalcoSink

FALCO_FLUSH_S: Final = 2.0
"""Longest that the end of the command waits for those who take Falco's alerts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", default="", help="write each finding to FILE, one JSON object a line")
    parser.add_argument("--rules", metavar="PATH", action="append", default=[], help="rules of your own, after ours")
    parser.add_argument("--intel", metavar="FILE", action="append", default=[], help="domains of your own, one a line")
    parser.add_argument(
        "--falco",
        metavar="TARGET",
        action="append",
        default=[],
        help="tell findings as Falco's JSON: `-`, a file, or an http(s) address to POST to",
    )
    parser.add_argument("--quiet", action="store_true", help="do not show findings on standard error")
    parser.add_argument("cmd", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")


def run(arguments: argparse.Namespace) -> int:
    command = arguments.cmd[1:] if arguments.cmd[:1] == ["--"] else arguments.cmd
    if not command:
        raise ConfigError("watch: no command; write `outrider watch -- CMD…`")
    rules, intel = load_rulebook(arguments.rules), load_intel(arguments.intel)
    sinks = Sinks()
    if arguments.json:
        _begin(arguments.json)
        sinks.add(LinesSink(arguments.json))
    falco = _falco(arguments.falco)
    if falco is not None:
        sinks.add(falco)
    if not arguments.quiet:
        sinks.add(TellSink(_tell))
    capabilities = probe_watch()
    if not arguments.quiet:
        _say_limits([c for c in capabilities if not c.available])
        _line(f"rules: {count_text(arm(rules, sight_here(capabilities, mode='watch')))}")

    def on_end() -> None:
        if falco is None:
            return
        falco.close(deadline_s=FALCO_FLUSH_S)
        for loss in falco.losses():
            print(f"outrider: {loss}", file=sys.stderr, flush=True)

    return watch_command(command, rules=rules, intel=intel, sinks=sinks, capabilities=capabilities, on_end=on_end)


def _falco(targets: list[str]) -> "FalcoSink | None":
    """A sink for Falco's JSON; a bare path is in the working directory of this command."""
    if not targets:
        return None
    from outrider_sidecar.falco_output import FalcoSink

    urls = ("http://", "https://")
    named = [t if t == "-" or t.startswith(urls) else str(Path(t).absolute()) for t in targets]
    return FalcoSink(named, hostname="")


def _begin(path: str) -> None:
    """An empty file says that nothing was found; none would say that nobody looked."""
    if path == "-":
        return
    try:
        Path(path).write_bytes(b"")
    except OSError as error:
        raise ConfigError(f"--json {path}: {error.strerror}") from error


def _say_limits(blind: list[Capability]) -> None:
    for capability in blind:
        remedy = f" ({capability.remedy})" if capability.remedy else ""
        _line(f"blind to {capability.sense}: {capability.reason}{remedy}")
    if not has_capability(CAP_SYS_PTRACE):
        _line("without root (CAP_SYS_PTRACE), set-uid programs run without their privilege while they are traced")


def _tell(finding: Finding) -> None:
    print("\n" + finding_block(finding), file=sys.stderr, flush=True)


def _line(text: str) -> None:
    print(f"outrider: {text}", file=sys.stderr, flush=True)
