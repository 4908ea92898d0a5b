"""What Outrider makes of Falco's stock rules: found out by playing the stock generator's actions, and written down.

    python -m outrider_lab.compatibility RULES_FOLDER [--write docs/falco-compatibility.md] [ACTION…]

One lab task runs with the three stock files, unchanged, and one of ours that only turns on what they leave off.
Each action is played in the guarded container. It counts as caught where the rule it is named after held for the
process that did it, or for a file or connection whose process is not known. A rule that held for another process
(what prepared the action, say) does not count.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from outrider_lab.attacks.falco import ACTIONS
from outrider_lab.attacks.falco.action import CANNOT_RUN, Action, actor_of, script_of
from outrider_lab.attacks.falco.network import ATTACKER_PORTS
from outrider_lab.attacks.falco.table import render
from outrider_lab.network import ATTACKER_ADDRESS, INSTANCE_METADATA_ADDRESS
from outrider_lab.settings import JOURNAL_DIR, Mount, default_sidecar, guarded_task
from outrider_lab.task import Task
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

PROGRAMS: Final = Path(__file__).with_name("attacks") / "programs"
LISTENERS: Final = (
    *(f"{ATTACKER_ADDRESS}:{port}" for port in ATTACKER_PORTS),
    f"{INSTANCE_METADATA_ADDRESS}:80",
)
"""Who answers the actions, beside the task: a connection that is refused at once has no owner by the time we look."""

STOCK_FILES: Final = ("falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml")
ENABLE_FILE: Final = "all-on.yaml"
RULES_DIR: Final = "/falco-rules"
FINDINGS_FILE: Final = "findings.jsonl"
WAIT_S: Final = 3.0
"""How long a finding is waited for after its action."""
WATCH_LIMIT: Final = 60_000
"""The lab shows the whole machine as the container's root, which may have far more directories than an image."""
BLIND_WAIT_S: Final = 1.0
SCAN_S: Final = 60.0
PROBE_FILE: Final = "/usr/lib/outrider-probe"
PROBE_RULE: Final = "Write below monitored dir"
NOT_POSSIBLE: Final = 77


class Outcome(Struct, frozen=True):
    """What came of one action. `finding` is of the rule it is named after, `actor` the pid that the action printed."""

    action: Action
    played: bool = False
    actor: int = 0
    finding: Finding | None = None
    note: str = ""

    @property
    def caught(self) -> bool:
        return self.finding is not None

    @property
    def on_actor(self) -> bool:
        """Whether the finding is of the very process that did it."""
        return self.finding is not None and self.finding.process is not None and self.finding.process.pid == self.actor


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


def task_with(rules: Path, folder: Path) -> Task:
    """A task whose sidecar has the stock files and ours. Raises Unavailable where the stock files are not there."""
    stock = [rules / name for name in STOCK_FILES]
    if missing := [str(path) for path in stock if not path.is_file()]:
        raise Unavailable(f"no stock rules: {', '.join(missing)}", "name the folder that has Falco's three files")
    contents = [path.read_bytes() for path in stock]
    for path, content in zip(stock, contents, strict=True):
        (folder / path.name).write_bytes(content)
    (folder / ENABLE_FILE).write_text(all_on(contents))
    sidecar = default_sidecar()
    env = {
        "OUTRIDER_FILE_WATCH_LIMIT": str(WATCH_LIMIT),
        "OUTRIDER_RULES": ",".join(f"{RULES_DIR}/{name}" for name in (*STOCK_FILES, ENABLE_FILE)),
        "OUTRIDER_FINDINGS_FILE": f"{JOURNAL_DIR}/{FINDINGS_FILE}",
    }
    mount = Mount(target=RULES_DIR, source=str(folder), read_only=True)
    settings = guarded_task()
    guarded = replace(sidecar, env={**sidecar.env, **env}, mounts=(*sidecar.mounts, mount))
    return Task(replace(settings, sidecar=guarded, collector_command=(), ready_timeout_s=10.0))


def play_all(
    rules: Path, actions: Sequence[Action] = ACTIONS, *, tell: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    """Play every action in one task. Raises Unavailable, TimeoutError."""
    with tempfile.TemporaryDirectory(prefix="outrider-falco-") as folder, task_with(rules, Path(folder)) as task:
        if not task.ready:
            raise Unavailable(f"the sidecar did not become ready:\n{task.log('outrider')[-4000:]}")
        outcomes = []
        with task.beside_popen([sys.executable, str(PROGRAMS / "listeners.py"), *LISTENERS]) as listeners:
            listeners.read_until(b"listening\n")
            wait_watched(task)
            for action in actions:
                outcomes.append(play(task, action))
                tell(outcomes[-1])
        return outcomes


def wait_watched(task: Task) -> None:
    """Wait until the first scan of the container's files came to the last places it watches. Raises TimeoutError."""
    deadline_s = time.monotonic() + SCAN_S
    while not any(finding.rule == PROBE_RULE for finding in read_findings(task)):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"the file watch did not reach {PROBE_FILE} in {SCAN_S:g} s")
        task.run(f"touch {PROBE_FILE}; sleep 0.2; rm -f {PROBE_FILE}; sleep 0.1")


def play(task: Task, action: Action) -> Outcome:
    """Play one action and wait for its finding. Raises TimeoutError."""
    if not action.act:
        return Outcome(action, note=action.blind)
    skip = len(read_findings(task))
    script = script_of(action, host=ATTACKER_ADDRESS, python=sys.executable)
    done = task.run(script, timeout_s=action.timeout_s)
    output = done.stdout.decode("utf-8", "backslashreplace")
    if done.returncode == CANNOT_RUN:
        return Outcome(action, note=output.strip())
    actor = actor_of(output)
    finding, others = _wait_for(task, action, actor, skip)
    note = action.blind if finding is None else ""
    if finding is None and others:
        note = "; ".join(filter(None, (note, f"the rule held for another process: {others[0]}")))
    return Outcome(action, played=True, actor=actor, finding=finding, note=note)


def read_findings(task: Task) -> list[Finding]:
    """What the sidecar found so far, oldest first."""
    path = task.journal / FINDINGS_FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [msgspec.json.decode(line, type=Finding) for line in lines]


def _wait_for(task: Task, action: Action, actor: int, skip: int) -> tuple[Finding | None, list[str]]:
    """The finding that counts, else the command lines of other processes that the rule held for."""
    deadline_s = time.monotonic() + (BLIND_WAIT_S if action.blind else WAIT_S)
    unknown: Finding | None = None
    while True:
        found = [one for one in read_findings(task)[skip:] if one.rule == action.rule]
        for one in found:
            if one.process is not None and one.process.pid == actor:
                return one, []
            if one.process is None:
                unknown = one
        if time.monotonic() > deadline_s:
            return unknown, [one.process.cmdline[:80] for one in found if one.process is not None]
        time.sleep(0.05)


def main(argv: Sequence[str] | None = None) -> int:
    """Play, print, write; 0 where everything that is not said to be blind was caught."""
    parser = argparse.ArgumentParser(prog="python -m outrider_lab.compatibility", description=__doc__.splitlines()[0])
    parser.add_argument("rules", type=Path, help="the folder with Falco's three stock files")
    parser.add_argument("actions", nargs="*", help="only these")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as Markdown")
    arguments = parser.parse_args(argv)
    chosen = [action for action in ACTIONS if not arguments.actions or action.name in arguments.actions]
    try:
        outcomes = play_all(arguments.rules, chosen, tell=_print)
    except Unavailable as unavailable:
        print(f"not possible here: {unavailable}", file=sys.stderr)
        return NOT_POSSIBLE
    caught = sum(outcome.caught for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} actions tripped the rule they are named after")
    if arguments.write:
        arguments.write.write_text(render(outcomes))
    return 0 if all(outcome.caught or outcome.action.blind for outcome in outcomes) else 1


def _print(outcome: Outcome) -> None:
    finding = outcome.finding
    said = f"caught ({finding.attribution}{'' if outcome.on_actor else ', no process'})" if finding else "not caught"
    print(f"{outcome.action.name:60.60} {said:24} {outcome.note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
