"""`outrider lab --demo`: a small guarded service, five attacks on it, and what the collector holds afterwards."""

import sys
import time
from typing import Final

from outrider_lab.attacks import find_scenario
from outrider_lab.attacks.play import check_tools, command_line, play
from outrider_lab.attacks.scenario import Scenario
from outrider_lab.cli import write_json
from outrider_lab.report import render_finding, render_timings
from outrider_lab.task import Task
from outrider_wire.findings import Finding

STORY: Final = ("new-binary", "new-library-preloaded", "fileless-memfd", "reverse-shell-bash", "mining-name")
SERVICE: Final = "while :; do sleep 0.2; echo alive >/dev/null; done"
FINDING_TIMEOUT_S: Final = 10.0


def run_demo(*, json_file: str | None = None, timings: bool = False) -> int:
    """Tell the story; 0 when every attack worked and was found, else 1. Raises Unavailable."""
    scenarios = [find_scenario(name) for name in STORY]
    for scenario in scenarios:
        check_tools(scenario)
    began = time.monotonic()
    with Task() as task:
        print(f"A task of two containers runs, {time.monotonic() - began:.2f} s after the start:")
        print("  app       the guarded service: a shell, PID and network namespaces shared with the sidecar")
        print("  outrider  the sidecar: ECS's default capabilities and SYS_PTRACE, nothing more")
        if timings:
            print(render_timings(task.timings_s, time.monotonic() - began))
        with task.popen(SERVICE):
            missed = [scenario.name for scenario in scenarios if not _tell_attack(task, scenario)]
            found = task.findings()
    if json_file:
        write_json(found, json_file)
    if missed:
        print(f"\nNot found: {', '.join(missed)}", file=sys.stderr)
        return 1
    print(f"\nAll {len(scenarios)} attacks were found. The task is gone; nothing was left on this machine.")
    return 0


def _tell_attack(task: Task, scenario: Scenario) -> bool:
    """Play one attack, and print the finding that it raised; whether it worked and was found."""
    print(f"\n--- {scenario.idea}")
    print(f"    $ {command_line(scenario, host='198.51.100.7', port=4444)}".splitlines()[0])
    before = {finding.id for finding in task.findings()}
    began = time.monotonic()

    def is_told(findings: list[Finding]) -> bool:
        return any(one.type == scenario.finding and one.id not in before for one in findings)

    played = play(task, scenario)
    found = [
        one
        for one in task.findings(is_told, timeout_s=FINDING_TIMEOUT_S)
        if one.type == scenario.finding and one.id not in before
    ]
    for finding in found[:1]:
        print(f"    at the collector {time.monotonic() - began:.2f} s after the attack began:\n")
        print(render_finding(finding, colour=sys.stdout.isatty()))
    if not played.worked:
        print(f"    the attack itself failed: {played.errors.decode(errors='backslashreplace')[-300:]}")
    return bool(found) and played.worked
