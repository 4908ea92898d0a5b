"""`outrider replay JOURNAL|BATCH… --rules FILE`: run rules over events that a sidecar recorded."""

import argparse
import sys

import msgspec

from outrider_cli.rehearse import load_only
from outrider_cli.show import finding_block
from outrider_sidecar.intel import load_intel
from outrider_sidecar.rehearsal.recorded import read_recording
from outrider_sidecar.rehearsal.rerun import NEVER_RECORDED, rerun
from outrider_wire.errors import ConfigError
from outrider_wire.timestamps import from_rfc3339


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recordings", nargs="+", metavar="JOURNAL|BATCH", help="a journal's directory, or single files")
    parser.add_argument("--rules", metavar="PATH", action="append", default=[], help="rules to run; may be repeated")
    parser.add_argument("--builtin", action="store_true", help="run Outrider's own rules too; without --rules they are")
    parser.add_argument("--intel", metavar="FILE", action="append", default=[], help="domains of your own, one a line")
    parser.add_argument("--since", metavar="TIME", default="", help="files changed from then on count as new, RFC 3339")
    parser.add_argument("--json", action="store_true", help="print each finding as one line of JSON")
    parser.add_argument("--fail-on-findings", action="store_true", help="exit with 1 when there are any")


def run(arguments: argparse.Namespace) -> int:
    rules = load_only(arguments.rules, builtin=arguments.builtin or not arguments.rules)
    recording = read_recording(arguments.recordings)
    intel = load_intel(arguments.intel)
    found = rerun(recording.events, rules, baseline_ns=_time(arguments.since), intel=intel)
    for sentence in (*recording.missing, f"never recorded: {NEVER_RECORDED}"):
        print(f"outrider: missing: {sentence}", file=sys.stderr)
    for finding in found:
        if arguments.json:
            sys.stdout.buffer.write(msgspec.json.encode(finding) + b"\n")
        else:
            print(finding_block(finding) + "\n")
    sys.stdout.flush()
    count = len(recording.events)
    print(f"outrider: {count} events, {len(rules)} rules, {len(found)} findings", file=sys.stderr)
    return 1 if arguments.fail_on_findings and found else 0


def _time(text: str) -> int:
    try:
        return from_rfc3339(text) if text else 0
    except ValueError as error:
        raise ConfigError(f"--since: {error}") from error
