"""`outrider lab --demo`: small guarded services, five attacks on them, and what the collector holds afterwards."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Final

from outrider_lab.attacks import find_scenario
from outrider_lab.attacks.play import check_tools, command_line, play
from outrider_lab.attacks.scenario import Scenario
from outrider_lab.commands import write_json
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.report import render_finding, render_timings
from outrider_lab.running import RunningTask
from outrider_lab.task import Task
from outrider_wire.findings import Finding

STORY: Final = ("new-binary", "new-library-preloaded", "fileless-memfd", "reverse-shell-bash", "mining-name")
SERVICE: Final = "while :; do sleep 0.2; echo alive >/dev/null; done"
FINDING_TIMEOUT_S: Final = 10.0
HOST_TASKS: Final = (
    HostTaskSettings(family="web", network="awsvpc"),
    HostTaskSettings(family="worker", network="bridge"),
    HostTaskSettings(family="metrics", network="host"),
)

Findings = Callable[..., list[Finding]]
"""`Task.findings`, or `HostLab.findings`."""


def run_demo(*, json_file: str | None = None, timings: bool = False, mode: str = "task") -> int:
    """Tell the story; 0 when every attack worked and was found, else 1. Raises Unavailable."""
    scenarios = [find_scenario(name) for name in STORY]
    for scenario in scenarios:
        check_tools(scenario)
    stage = _instance(timings) if mode == "host" else _task(timings)
    with stage as (tasks, findings), ExitStack() as services:
        for task in tasks:
            services.enter_context(task.popen(SERVICE))
        played = zip(scenarios, cycle(tasks), strict=False)
        missed = [scenario.name for scenario, task in played if not _tell_attack(task, scenario, findings)]
        found = findings()
    if json_file:
        write_json(found, json_file)
    if missed:
        print(f"\nNot found: {', '.join(missed)}", file=sys.stderr)
        return 1
    print(f"\nAll {len(scenarios)} attacks were found. The lab is gone; nothing was left on this machine.")
    return 0


@contextmanager
def _task(timings: bool) -> Iterator[tuple[list[RunningTask], Findings]]:
    began = time.monotonic()
    with Task() as task:
        print(f"A task of two containers runs, {time.monotonic() - began:.2f} s after the start:")
        print("  app       the guarded service: a shell, PID and network namespaces shared with the sidecar")
        print("  outrider  the sidecar: ECS's default capabilities and SYS_PTRACE, nothing more")
        if timings:
            print(render_timings(task.timings_s, time.monotonic() - began))
        yield [task], task.findings


@contextmanager
def _instance(timings: bool) -> Iterator[tuple[list[RunningTask], Findings]]:
    began = time.monotonic()
    with HostLab(HostSettings(tasks=HOST_TASKS)) as lab:
        print(
            f"A container instance with {len(lab.tasks)} tasks runs, {time.monotonic() - began:.2f} s after the start:"
        )
        for task in lab.tasks:
            print(f"  {task.settings.family:<9} a guarded service, network mode {task.settings.network}")
        print("  and beside them one host process, Outrider, that stops nobody")
        if timings:
            print(render_timings(lab.timings_s, time.monotonic() - began))
        yield list(lab.tasks), lab.findings


def _tell_attack(task: RunningTask, scenario: Scenario, findings: Findings) -> bool:
    """Play one attack, and print the finding that it raised; whether it worked and was found."""
    print(f"\n--- {scenario.idea}")
    print(f"    $ {command_line(scenario, host='198.51.100.7', port=4444)}".splitlines()[0])
    before = {finding.id for finding in findings()}
    began = time.monotonic()

    def is_told(found: list[Finding]) -> bool:
        return any(map(is_wanted, found))

    def is_wanted(one: Finding) -> bool:
        ours = one.task is not None and one.task.arn == task.arn
        return one.type == scenario.finding and one.id not in before and ours

    played = play(task, scenario)
    found = [one for one in findings(is_told, timeout_s=FINDING_TIMEOUT_S) if is_wanted(one)]
    for finding in found[:1]:
        print(f"    at the collector {time.monotonic() - began:.2f} s after the attack began:\n")
        print(render_finding(finding, colour=sys.stdout.isatty()))
    if not played.worked:
        print(f"    the attack itself failed: {played.errors.decode(errors='backslashreplace')[-300:]}")
    return bool(found) and played.worked
