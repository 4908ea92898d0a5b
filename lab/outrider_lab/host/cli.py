"""`outrider lab --mode host`: run a command in a task of a container instance, guarded by one host process."""

import argparse
import shlex
import sys
import time
from pathlib import Path

from msgspec.structs import replace

from outrider_lab.commands import (
    FOUND,
    collect,
    first_container,
    keep_logs,
    more_containers,
    read_named,
    tell,
    wait_for_end,
)
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings, HostTaskSettings
from outrider_lab.report import render_timings
from outrider_lab.settings import MAIN, ContainerSettings

FIRST_FAMILY = "app"


def make_host_settings(arguments: argparse.Namespace, command: list[str]) -> HostSettings:
    """The instance that the options describe. Raises ValueError for options that make no sense."""
    first = HostTaskSettings(
        main=first_container(command),
        others=more_containers(arguments.container),
        network=arguments.network,
        family=FIRST_FAMILY,
    )
    more = tuple(_task(text, arguments.network) for text in arguments.task)
    if len({FIRST_FAMILY, *(task.family for task in more)}) <= len(more):
        raise ValueError(f"--task: two tasks have one name (the first one's is {FIRST_FAMILY})")
    settings = HostSettings(
        tasks=(first, *more),
        late=arguments.late_sidecar,
        restart_delay_s=arguments.restart_delay,
        stop_timeout_s=arguments.stop_timeout,
    )
    if arguments.sidecar_command:
        settings = replace(settings, command=tuple(shlex.split(arguments.sidecar_command)))
    return replace(settings, collector_command=()) if arguments.no_collector else settings


def run_host(arguments: argparse.Namespace, settings: HostSettings) -> int:
    """Run the first task's command to its end; the answer is its exit code, or 1 for findings where asked."""
    began = time.monotonic()
    lab = HostLab(settings)
    try:
        lab.start(stdio=(0, 1, 2))
        if arguments.timings:
            print(render_timings(lab.timings_s, time.monotonic() - began), file=sys.stderr)
        if settings.late:
            lab.control("outrider", "start")
        elif settings.command and not lab.ready:
            print("outrider lab: the host process did not say that it is ready; CMD runs all the same", file=sys.stderr)
        first = lab.tasks[0]
        visitors = [first.exec_popen(["/bin/sh", "-c", line], stdio=(0, 1, 2)) for line in arguments.exec]
        code = wait_for_end(first, arguments.timeout)
        for visitor in visitors:
            visitor.close()
        lab.stop()
        findings = collect(lab.findings) if settings.collector_command else []
        if arguments.keep_logs:
            keep_logs(lab.folder, Path(arguments.keep_logs))
    finally:
        lab.close()
    if settings.collector_command:
        tell(findings, arguments.json)
    return FOUND if arguments.fail_on_findings and findings else code


def _task(text: str, network: str) -> HostTaskSettings:
    """One more task; the name is its family's."""
    name, command = read_named("--task", text)
    main = ContainerSettings(name=MAIN, command=("/bin/sh", "-c", command))
    return replace(HostTaskSettings(main=main, family=name), network=network)
