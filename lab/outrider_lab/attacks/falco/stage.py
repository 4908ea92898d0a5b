"""Where the stock actions are played: a lab task, or a container instance, whose guard has Falco's stock files."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec.structs import replace

from outrider_lab.blueprint import READY_FILE
from outrider_lab.host.lab import HostLab
from outrider_lab.host.settings import HostSettings
from outrider_lab.running import RunningTask
from outrider_lab.settings import JOURNAL_DIR, SIDECAR, Mount, default_sidecar, guarded_task
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

STOCK_FILES: Final = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
ENABLE_FILE: Final = "all-on.yaml"
RULES_DIR: Final = "/falco-rules"
FINDINGS_FILE: Final = "findings.jsonl"
READY_TIMEOUT_S: Final = 15.0
WATCH_LIMIT: Final = 60_000
"""The lab shows the whole machine as the container's root, which may have far more directories than an image."""


class Stage:
    """A guarded task, and what its guard found there. `own_pids`: the guard names pids as the task does.

    `health_file` is where the guard says how it is.
    """

    def __init__(self, task: RunningTask, findings_file: Path, health_file: Path, *, own_pids: bool) -> None:
        self.task = task
        self.own_pids = own_pids
        self._health_file = health_file
        self._findings_file = findings_file

    def findings(self) -> list[Finding]:
        """What was found in the task so far, oldest first; what is of no container counts."""
        if not self._findings_file.exists():
            return []
        lines = self._findings_file.read_bytes().split(b"\n")[:-1]
        found = [msgspec.json.decode(line, type=Finding) for line in lines]
        return [one for one in found if one.container is None or one.container.id == self.task.facts["id:app"]]

    def starts(self) -> dict[str, int]:
        """How many starts of programs the guard saw so far, and of how many how much; empty where it does not say."""
        try:
            said = json.loads(self._health_file.read_bytes())
        except (OSError, ValueError):
            return {}
        counts: dict[str, int] = said.get("execs", {})
        return counts

    def pid_of(self, told: int) -> int:
        """The pid that the guard knows a process of the task by, given the task's own; 0 where it is gone."""
        if self.own_pids:
            return told
        return next((process.pid for process in self.task.processes() if process.task_pid == told), 0)


@contextmanager
def open_stage(rules: Path, folder: Path, mode: str) -> Iterator[Stage]:
    """A stage with the stock files of `rules`; `folder` is ours to write to. Raises Unavailable."""
    files = write_rules(rules, folder)
    with _host_stage(files) if mode == "host" else _task_stage(files) as stage:
        yield stage


@contextmanager
def _task_stage(files: list[Path]) -> Iterator[Stage]:
    sidecar, settings = default_sidecar(), guarded_task()
    rules = [f"{RULES_DIR}/{path.name}" for path in files]
    mount = Mount(target=RULES_DIR, source=str(files[0].parent), read_only=True)
    env = {**sidecar.env, **_environment(rules, f"{JOURNAL_DIR}/{FINDINGS_FILE}")}
    guarded = replace(sidecar, env=env, mounts=(*sidecar.mounts, mount))
    settings = replace(settings, sidecar=guarded, collector_command=(), ready_timeout_s=READY_TIMEOUT_S)
    with Task(settings) as task:
        _check_ready(task.ready, task.log(SIDECAR))
        yield Stage(task, task.journal / FINDINGS_FILE, task.journal / READY_FILE, own_pids=True)


@contextmanager
def _host_stage(files: list[Path]) -> Iterator[Stage]:
    findings = files[0].parent / FINDINGS_FILE
    env = _environment(map(str, files), str(findings))
    with HostLab(HostSettings(env=env, collector_command=(), ready_timeout_s=READY_TIMEOUT_S)) as lab:
        _check_ready(lab.ready, lab.log(SIDECAR))
        yield Stage(lab.tasks[0], findings, lab.journal / READY_FILE, own_pids=False)


def _environment(rules: Iterable[str], findings: str) -> dict[str, str]:
    return {
        "OUTRIDER_FILE_WATCH_LIMIT": str(WATCH_LIMIT),
        "OUTRIDER_RULES": ",".join(rules),
        "OUTRIDER_FINDINGS_FILE": findings,
    }


def _check_ready(ready: bool, log: str) -> None:
    if not ready:
        raise Unavailable(f"the guard did not become ready:\n{log[-4000:]}")


def write_rules(rules: Path, folder: Path) -> list[Path]:
    """Copy the stock files, and write beside them the one that turns on what they leave off. Raises Unavailable."""
    stock = [rules / name for name in STOCK_FILES]
    if missing := [str(path) for path in stock if not path.is_file()]:
        raise Unavailable(f"no stock rules: {', '.join(missing)}", "name the folder that has Falco's three files")
    contents = [path.read_bytes() for path in stock]
    for path, content in zip(stock, contents, strict=True):
        (folder / path.name).write_bytes(content)
    (folder / ENABLE_FILE).write_text(all_on(contents))
    return [folder / name for name in (*STOCK_FILES, ENABLE_FILE)]


def all_on(files: Iterable[bytes]) -> str:
    """A rules file that turns on every rule that the given ones leave off, and changes nothing else."""
    off = [
        item["rule"]
        for raw in files
        for item in yaml.safe_load(raw)
        if "rule" in item and item.get("enabled", True) is False
    ]
    turned_on = [{"rule": name, "enabled": True, "override": {"enabled": "replace"}} for name in off]
    return yaml.safe_dump(turned_on, sort_keys=False) if turned_on else "[]\n"
