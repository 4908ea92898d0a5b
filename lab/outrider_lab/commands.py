"""What the two modes of `outrider lab` have in common: reading options, waiting for CMD, telling what was found."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from outrider_lab.process import LabGone, LabProcess
from outrider_lab.report import render_findings
from outrider_lab.rootfs import is_hidden
from outrider_lab.running import RunningTask
from outrider_lab.settings import MAIN, ContainerSettings
from outrider_wire.errors import DeliveryError
from outrider_wire.findings import Finding

FOUND: Final = 1
TIMED_OUT: Final = 124
FOR_EVER_S: Final = 10 * 365 * 86400.0
COLLECT_S: Final = 2.0
"""How long the collector is asked for findings after the guard has ended, where it does not answer."""


def first_container(command: list[str]) -> ContainerSettings:
    """The container that CMD runs in, with the terminal's environment and our own folder."""
    return ContainerSettings(name=MAIN, command=tuple(command), env=_terminal(), cwd=_folder())


def more_containers(texts: list[str]) -> tuple[ContainerSettings, ...]:
    """One for each `NAME=CMD`. Raises ValueError."""
    named = (read_named("--container", text) for text in texts)
    return tuple(ContainerSettings(name=name, command=("/bin/sh", "-c", command)) for name, command in named)


def read_named(option: str, text: str) -> tuple[str, str]:
    """`NAME=CMD` apart. Raises ValueError."""
    name, equals, command = text.partition("=")
    if not (name and equals and command):
        raise ValueError(f"{option} wants NAME=CMD, not {text!r}")
    return name, command


def wait_for_end(task: RunningTask, timeout_s: float | None) -> int:
    """The main program's exit code; 124 where it had to be ended, as timeout(1) has it."""
    main: LabProcess | None = task.main
    if main is None:
        raise LabGone("the task has no main program")
    try:
        return main.wait(timeout_s=timeout_s if timeout_s is not None else FOR_EVER_S)
    except TimeoutError:
        task.send_signal(MAIN, signal.SIGKILL)
        main.wait()
        return TIMED_OUT


def collect(findings: Callable[..., list[Finding]]) -> list[Finding]:
    """What the collector holds; nothing, and a word, where it does not answer."""
    try:
        return findings(timeout_s=COLLECT_S)
    except DeliveryError as error:
        print(f"outrider lab: {error}", file=sys.stderr)
        return []


def tell(findings: list[Finding], json_file: str | None) -> None:
    """Print findings, and write them where asked."""
    if json_file:
        write_json(findings, json_file)
    print("\n" + render_findings(findings, colour=sys.stderr.isatty()), file=sys.stderr)


def write_json(findings: list[Finding], path: str) -> None:
    """One finding a line."""
    encoder = msgspec.json.Encoder()
    Path(path).write_bytes(b"".join(encoder.encode(finding) + b"\n" for finding in findings))


def keep_logs(folder: Path, into: Path) -> None:
    """Copy every log of the lab in `folder` to a folder of this machine."""
    into.mkdir(parents=True, exist_ok=True)
    for log in sorted((folder / "logs").iterdir()):
        shutil.copyfile(log, into / log.name)


def _terminal() -> dict[str, str]:
    return {name: os.environ[name] for name in ("TERM", "LANG") if name in os.environ}


def _folder() -> str:
    """Where CMD begins: where we are, if a container sees that place, else the root."""
    here = str(Path.cwd())
    return "/" if is_hidden(here) else here
