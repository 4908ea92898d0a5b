"""`outrider lab`: run a command in a task shaped like Fargate's on this machine, the sidecar beside it."""

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
from msgspec.structs import replace

from outrider_lab.process import LabGone, LabProcess
from outrider_lab.report import render_findings, render_timings
from outrider_lab.rootfs import is_hidden
from outrider_lab.settings import MAIN, ContainerSettings, TaskSettings, guarded_task
from outrider_lab.task import LabError, Task
from outrider_wire.errors import DeliveryError, Unavailable
from outrider_wire.findings import Finding

NOT_POSSIBLE: Final = 77
MISUSE: Final = 2
FOUND: Final = 1
FOR_EVER_S: Final = 10 * 365 * 86400.0
COLLECT_S: Final = 2.0
"""How long the collector is asked for findings after the sidecar has ended, where it does not answer."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `outrider lab`."""
    add = parser.add_argument
    add("--json", metavar="FILE", help="write each finding as one JSON object a line")
    add("--container", metavar="NAME=CMD", action="append", default=[], help="one more guarded container")
    add("--exec", metavar="CMD", action="append", default=[], help="start a process from outside, as ECS Exec does")
    add("--timeout", metavar="S", type=float, help="end CMD after this many seconds")
    add("--keep-logs", metavar="DIR", help="keep the logs of the sidecar and the collector")
    add("--late-sidecar", action="store_true", help="start CMD first, the sidecar after it")
    add("--fail-on-findings", action="store_true", help="exit with 1 when there are findings")
    add("--timings", action="store_true", help="print how long each step of the start took")
    add("--restart-delay", metavar="S", type=float, default=0.2, help="seconds until a dead sidecar is started again")
    add("--stop-timeout", metavar="S", type=float, default=10.0, help="seconds the sidecar has after SIGTERM")
    add("--sidecar-command", metavar="CMD", help="run this instead of the sidecar")
    add("--no-collector", action="store_true", help="run no collector; nothing is printed then")
    add("--demo", action="store_true", help="a built-in story of five attacks, told as it happens")
    add("command", metavar="CMD", nargs=argparse.REMAINDER, help="what to run, after --")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the answer is the exit code: CMD's own, 1 for findings where asked, 2 misuse, 77 not possible here."""
    if arguments.demo:
        from outrider_lab.demo import run_demo  # only the demo needs the attacks

        return _guard(lambda: run_demo(json_file=arguments.json, timings=arguments.timings))
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        print("outrider lab: what is to be run? (outrider lab -- CMD…, or --demo)", file=sys.stderr)
        return MISUSE
    try:
        settings = make_settings(arguments, command)
    except ValueError as error:
        print(f"outrider lab: {error}", file=sys.stderr)
        return MISUSE
    return _guard(lambda: _run_task(arguments, settings))


def make_settings(arguments: argparse.Namespace, command: list[str]) -> TaskSettings:
    """The task that the options describe. Raises ValueError for options that make no sense."""
    main = ContainerSettings(name=MAIN, command=tuple(command), env=_terminal(), cwd=_folder())
    settings = guarded_task(main, others=tuple(_container(text) for text in arguments.container))
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


def write_json(findings: list[Finding], path: str) -> None:
    """One finding a line."""
    encoder = msgspec.json.Encoder()
    Path(path).write_bytes(b"".join(encoder.encode(finding) + b"\n" for finding in findings))


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
        code = _wait(task, arguments.timeout)
        for visitor in visitors:
            visitor.close()
        task.stop_sidecar()
        findings = _collect(task) if settings.collector_command else []
        if arguments.keep_logs:
            keep_logs(task, Path(arguments.keep_logs))
    finally:
        task.close()
    if settings.collector_command:
        _tell(findings, arguments.json)
    return FOUND if arguments.fail_on_findings and findings else code


def _wait(task: Task, timeout_s: float | None) -> int:
    """The main program's exit code; 124 where it had to be ended, as timeout(1) has it."""
    main: LabProcess | None = task.main
    if main is None:
        raise LabGone("the task has no main program")
    try:
        return main.wait(timeout_s=timeout_s if timeout_s is not None else FOR_EVER_S)
    except TimeoutError:
        task.send_signal(MAIN, signal.SIGKILL)
        main.wait()
        return 124


def _collect(task: Task) -> list[Finding]:
    try:
        return task.findings(timeout_s=COLLECT_S)
    except DeliveryError as error:
        print(f"outrider lab: {error}", file=sys.stderr)
        return []


def _tell(findings: list[Finding], json_file: str | None) -> None:
    if json_file:
        write_json(findings, json_file)
    print("\n" + render_findings(findings, colour=sys.stderr.isatty()), file=sys.stderr)


def keep_logs(task: Task, into: Path) -> None:
    """Copy every log of the lab to a folder of this machine."""
    into.mkdir(parents=True, exist_ok=True)
    for log in sorted((task.folder / "logs").iterdir()):
        shutil.copyfile(log, into / log.name)


def _container(text: str) -> ContainerSettings:
    name, equals, command = text.partition("=")
    if not (name and equals and command):
        raise ValueError(f"--container wants NAME=CMD, not {text!r}")
    return ContainerSettings(name=name, command=("/bin/sh", "-c", command))


def _terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TERM", "LANG") if name in os.environ}


def _folder() -> str:
    """Where CMD begins: where we are, if a container sees that place, else the root."""
    here = str(Path.cwd())
    return "/" if is_hidden(here) else here


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
