"""`make bench`: run every benchmark in a process of its own, and write what was measured to bench/RESULTS.md.

A row is {what, value, unit, spread, target}: `target` is what the figure should reach (empty for none), `spread`
how far repeated measurements lay apart. Nothing here is a hoped-for number.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Final

BENCHES: Final = (
    ("spawn", "Starting programs under guard"),
    ("signals", "Signals, timers and threads under guard"),
    ("nginx", "A web server under load"),
    ("footprint", "What the sidecar itself takes"),
    ("image", "The sidecar's image"),
    ("latency", "From what happened to who knows it"),
    ("network", "Owners of connections"),
    ("files", "The file watch"),
    ("wire", "Batches, journal and collector"),
    ("store", "Pages of a million findings"),
    ("collector", "The collector, on one core"),
    ("sustained", "From batches to findings and the lake, sustained"),
    ("lake", "The event lake"),
    ("rules", "Rules"),
    ("storm", "A thousand programs a second, all rules loaded"),
    ("host_spawn", "A host: starting programs in a container"),
    ("host_files", "A host: making files in a container"),
    ("host_network", "A host: network namespaces at rest"),
    ("host_idle", "A host: fifty containers at rest"),
    ("gate", "A host: asked before programs start"),
    ("rewrite", "Task definitions, guarded by the thousand"),
    ("synthesis", "A CDK app of fifty task definitions"),
)
RESULTS: Final = Path(__file__).with_name("RESULTS.md")
TIMEOUT_S: Final = 1800

Row = dict[str, object]


def measure(name: str) -> list[Row]:
    """The rows of one benchmark; a row that says why where it could not be run."""
    command = [sys.executable, "-m", f"bench.{name}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        rows = _read_rows(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return [{"what": f"{name}: not measured", "value": "", "unit": "", "spread": last, "target": ""}]
    return rows


def _read_rows(output: str) -> list[Row]:
    """One JSON list, or one object a line. Raises ValueError for neither."""
    if output.lstrip().startswith("["):
        return list(json.loads(output))
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not rows:
        raise ValueError("no rows")
    return rows


def render_section(title: str, rows: list[Row], *, circumstances: str) -> str:
    """One benchmark's results as Markdown."""
    lines = [f"## {title}", "", circumstances, "", "| what | measured | spread | to reach |", "|---|---|---|---|"]
    for row in rows:
        value = f"{_said(row, 'value')} {_said(row, 'unit')}".strip()
        lines.append(f"| {_said(row, 'what')} | {value} | {_said(row, 'spread')} | {_said(row, 'target')} |")
    return "\n".join([*lines, ""])


def render(measured: dict[str, str], before: str, *, machine: str) -> str:
    """The whole page: what was measured now, and of the rest what stood there before, in the order of BENCHES."""
    head = "Written by `make bench`; every section was measured in one run, when it says."
    kept = {text.partition("\n")[0]: f"## {text}".rstrip() + "\n" for text in before.split("\n## ")[1:]}
    sections = [measured.get(title) or kept.get(title, "") for _, title in BENCHES]
    return "\n".join(["# Measured", "", head, "", machine, "", *filter(None, sections)])


def _said(row: Row, key: str) -> str:
    """A cell: a range for two numbers, nothing for None."""
    value = row.get(key)
    if isinstance(value, list):
        return " to ".join(str(part) for part in value)
    return "" if value is None else str(value)


def describe_machine() -> str:
    """The machine in general terms."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"A virtual machine with {os.cpu_count()} cores ({platform.machine()}) and {memory_gib:.0f} GiB, shared with"
        f" others and noisy; Linux {kernel}, Python {platform.python_version()}. Read times as ratios."
    )


def describe_moment() -> str:
    """When something is measured, and how busy the machine is then."""
    return f"On {date.today().isoformat()}, load average before it {os.getloadavg()[0]:.1f}."


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measure, and write bench/RESULTS.md.")
    known = [name for name, _ in BENCHES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, of {', '.join(known)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    for name, title in BENCHES:
        if arguments.names and name not in arguments.names:
            continue
        began_s, moment = time.monotonic(), describe_moment()
        rows = measure(name)
        print(f"{title} ({time.monotonic() - began_s:.0f} s)")
        for row in rows:
            print(f"  {row['what']}: {_said(row, 'value')} {_said(row, 'unit')} ({_said(row, 'spread')})")
        section = render_section(title, rows, circumstances=moment)
        before = RESULTS.read_text() if RESULTS.exists() else ""
        RESULTS.write_text(render({title: section}, before, machine=describe_machine()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
