"""`outrider lab`: run a command in a real task on this machine, shaped like Fargate's or a container instance's."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from msgspec.structs import replace

from outrider_lab.commands import (
    FOUND,
    collect,
    first_container,
    keep_logs,
    more_containers,
    tell,
    wait_for_end,
)
from outrider_lab.host.cli import make_host_settings, run_host
from outrider_lab.process import LabGone
from outrider_lab.report import render_timings
from outrider_lab.settings import TaskSettings, guarded_task
from outrider_lab.task import LabError, Task
from outrider_wire.errors import Unavailable

NOT_POSSIBLE: Final = 77
MISUSE: Final = 2

DESCRIPTION: Final = """\
Run CMD in a container of a real task on this machine, guarded, and print what was found.

  --mode task   a task shaped like Fargate's: Outrider is a sidecar that shares its PID and network namespaces
  --mode host   a container instance shaped like EC2's: every container has a PID namespace of its own, and
                Outrider is one host process that guards all tasks (`--task` adds more)

examples:
  outrider lab -- sh -c 'cp /bin/true /tmp/new && /tmp/new'
  outrider lab --mode host --task web='sleep 60' -- sh -c 'cp /bin/true /tmp/new && /tmp/new'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `outrider lab`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    add = parser.add_argument
    add("--mode", choices=("task", "host"), default="task", help="the shape of the lab (task)")
    add("--json", metavar="FILE", help="write each finding as one JSON object a line")
    add("--container", metavar="NAME=CMD", action="append", default=[], help="one more container in CMD's task")
    add("--exec", metavar="CMD", action="append", default=[], help="start a process from outside, as ECS Exec does")
    add("--timeout", metavar="S", type=float, help="end CMD after this many seconds")
    add("--keep-logs", metavar="DIR", help="keep the logs of Outrider and the collector")
    add("--late-sidecar", action="store_true", help="start CMD first, Outrider after it")
    add("--fail-on-findings", action="store_true", help="exit with 1 when there are findings")
    add("--timings", action="store_true", help="print how long each step of the start took")
    add("--restart-delay", metavar="S", type=float, default=0.2, help="seconds until a dead Outrider is started again")
    add("--stop-timeout", metavar="S", type=float, default=10.0, help="seconds that Outrider has after SIGTERM")
    add("--sidecar-command", metavar="CMD", help="run this instead of Outrider")
    add("--no-collector", action="store_true", help="run no collector; nothing is printed then")
    add("--demo", action="store_true", help="a built-in story of five attacks, told as it happens")
    host = parser.add_argument_group("with --mode host")
    add = host.add_argument
    add("--network", choices=("awsvpc", "bridge", "host"), default="awsvpc", help="network mode of the tasks (awsvpc)")
    add("--task", metavar="NAME=CMD", action="append", default=[], help="one more task, of the family NAME")
    parser.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER, help="what to run, after --")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the answer is the exit code: CMD's own, 1 for findings where asked, 2 misuse, 77 not possible here."""
    if arguments.demo:
        from outrider_lab.demo import run_demo  # only the demo needs the attacks

        return _guard(lambda: run_demo(json_file=arguments.json, timings=arguments.timings, mode=arguments.mode))
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        return _misused("what is to be run? (outrider lab -- CMD…, or --demo)")
    try:
        if arguments.mode == "host":
            host = make_host_settings(arguments, command)
            return _guard(lambda: run_host(arguments, host))
        settings = make_settings(arguments, command)
    except ValueError as error:
        return _misused(str(error))
    return _guard(lambda: _run_task(arguments, settings))


def make_settings(arguments: argparse.Namespace, command: list[str]) -> TaskSettings:
    """The task that the options describe. Raises ValueError for options that make no sense."""
    if arguments.task:
        raise ValueError("--task is of --mode host: a Fargate task has its machine to itself (--container adds to it)")
    settings = guarded_task(first_container(command), others=more_containers(arguments.container))
    if arguments.sidecar_command and settings.sidecar:
        stand_in = replace(settings.sidecar, command=tuple(shlex.split(arguments.sidecar_command)))
        settings = replace(settings, sidecar=stand_in)
    if arguments.no_collector:
        settings = replace(settings, collector_command=())
    return replace(
        settings,
        late_sidecar=arguments.late_sidecar,
        restart_delay_s=arguments.restart_delay,
        stop_timeout_s=arguments.stop_timeout,
    )


def _misused(what: str) -> int:
    print(f"outrider lab: {what}", file=sys.stderr)
    return MISUSE


def _guard(work: Callable[[], int]) -> int:
    """Turn what stands in the way into an exit code and a sentence."""
    try:
        with _terminated_as_interrupted():
            return work()
    except Unavailable as error:
        print(f"outrider lab: not possible here: {error.reason}", file=sys.stderr)
        if error.remedy:
            print(f"outrider lab: remedy: {error.remedy}", file=sys.stderr)
        return NOT_POSSIBLE
    except (LabError, LabGone) as error:
        print(f"outrider lab: {error}", file=sys.stderr)
        return NOT_POSSIBLE if isinstance(error, LabGone) else MISUSE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run_task(arguments: argparse.Namespace, settings: TaskSettings) -> int:
    began = time.monotonic()
    task = Task(settings)
    try:
        task.start(stdio=(0, 1, 2))
        if arguments.timings:
            print(render_timings(task.timings_s, time.monotonic() - began), file=sys.stderr)
        if settings.sidecar and settings.ready_timeout_s and not task.ready and not settings.late_sidecar:
            print("outrider lab: the sidecar did not say that it is ready; CMD runs all the same", file=sys.stderr)
        visitors = [task.exec_popen(["/bin/sh", "-c", line], stdio=(0, 1, 2)) for line in arguments.exec]
        code = wait_for_end(task, arguments.timeout)
        for visitor in visitors:
            visitor.close()
        task.stop_sidecar()
        findings = collect(task.findings) if settings.collector_command else []
        if arguments.keep_logs:
            keep_logs(task.folder, Path(arguments.keep_logs))
    finally:
        task.close()
    if settings.collector_command:
        tell(findings, arguments.json)
    return FOUND if arguments.fail_on_findings and findings else code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM and SIGHUP unwind as Ctrl-C does, so that nothing is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
