"""What Outrider makes of Falco's stock rules: found out by playing the stock generator's actions, and written down.

    python -m outrider_lab.compatibility RULES_FOLDER [--mode task|host] [--write docs/falco-compatibility.md] [ACTION…]

One lab task runs with the three stock files, unchanged, and one of ours that only turns on what they leave off: in a
task of its own with a sidecar, or on a container instance with one host process. Each action is played in the guarded
container. It counts as caught where the rule it is named after held for the process that did it, or for a file or
connection whose process is not known. A rule that held for another process (what prepared the action, say) does not
count.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_lab.attacks.falco import ACTIONS
from outrider_lab.attacks.falco.action import CANNOT_RUN, Action, actor_of, script_of
from outrider_lab.attacks.falco.network import ATTACKER_PORTS
from outrider_lab.attacks.falco.stage import Stage, open_stage
from outrider_lab.attacks.falco.table import put_part, render
from outrider_lab.network import ATTACKER_ADDRESS, INSTANCE_METADATA_ADDRESS
from outrider_lab.process import LabProcess
from outrider_wire.errors import Unavailable
from outrider_wire.findings import Finding

PROGRAMS: Final = Path(__file__).with_name("attacks") / "programs"
LISTENERS: Final = (
    *(f"{ATTACKER_ADDRESS}:{port}" for port in ATTACKER_PORTS),
    f"{INSTANCE_METADATA_ADDRESS}:80",
)
"""Who answers the actions, beside the task: a connection that is refused at once has no owner by the time we look."""

WAIT_S: Final = 3.0
"""How long a finding is waited for after its action."""
BLIND_WAIT_S: Final = 1.0
SCAN_S: Final = 60.0
PROBE_FILE: Final = "/usr/lib/outrider-probe"
PROBE_RULE: Final = "Write below monitored dir"
NOT_POSSIBLE: Final = 77
ON_A_HOST: Final = {
    "SYS_ADMIN": "the lab's containers have ECS's default capabilities, and SYS_ADMIN is none of them",
    "host": "the rule is of processes outside any container, which are guarded with `guard_host` alone",
}
"""Why what needs something is not played on a container instance."""


class Outcome(Struct, frozen=True):
    """What came of one action. `finding` is of the rule it is named after, `actor` the pid of the process that did it.

    The pid is as the guard knows it; 0 where the action printed none.
    """

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


def play_all(
    rules: Path,
    actions: Sequence[Action] = ACTIONS,
    *,
    mode: str = "task",
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Play every action in one task. Raises Unavailable, TimeoutError."""
    with (
        tempfile.TemporaryDirectory(prefix="outrider-falco-") as folder,
        open_stage(rules, Path(folder), mode) as stage,
        stage.task.beside_popen([sys.executable, str(PROGRAMS / "listeners.py"), *LISTENERS]) as listeners,
    ):
        outcomes = []
        listeners.read_until(b"listening\n")
        wait_watched(stage)
        for action in actions:
            outcomes.append(play(stage, action))
            tell(outcomes[-1])
        return outcomes


def wait_watched(stage: Stage) -> None:
    """Wait until the first scan of the container's files came to the last places it watches. Raises TimeoutError."""
    deadline_s = time.monotonic() + SCAN_S
    while not any(finding.rule == PROBE_RULE for finding in stage.findings()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"the file watch did not reach {PROBE_FILE} in {SCAN_S:g} s")
        stage.task.run(f"touch {PROBE_FILE}; sleep 0.2; rm -f {PROBE_FILE}; sleep 0.1")


def play(stage: Stage, action: Action) -> Outcome:
    """Play one action and wait for its finding. Raises TimeoutError."""
    if not action.act:
        return Outcome(action, note=action.blind if stage.own_pids else ON_A_HOST.get(action.needs, action.blind))
    skip, before = len(stage.findings()), stage.starts()
    output, code, actor = _run(stage, action)
    if code == CANNOT_RUN:
        return Outcome(action, note=output.strip())
    finding, others = _wait_for(stage, action, actor, skip)
    note = action.blind if finding is None else ""
    if finding is None and not note:
        starts = {kind: count - before.get(kind, 0) for kind, count in stage.starts().items()}
        note = f"starts of programs meanwhile: {starts}" if starts else ""
    if finding is None and others:
        note = "; ".join(filter(None, (note, f"the rule held for another process: {others[0]}")))
    return Outcome(action, played=True, actor=actor, finding=finding, note=note)


def _run(stage: Stage, action: Action) -> tuple[str, int, int]:
    """What the action wrote, its exit code, and the pid of the process that did it. Raises TimeoutError."""
    script = script_of(action, host=ATTACKER_ADDRESS, python=sys.executable, waits=not stage.own_pids)
    with stage.task.popen(script) as process:
        actor = 0 if stage.own_pids else _follow(stage, process, action.timeout_s)
        done = process.communicate(timeout_s=action.timeout_s)
    output = _text(done.stdout)
    return output, done.returncode, actor or stage.pid_of(actor_of(output))


def _follow(stage: Stage, process: LabProcess, timeout_s: float) -> int:
    """The pid that the guard knows the actor by, looked up while it lives. Raises TimeoutError.

    The first that is told of waits to be let go; one that is told of later is what the first one started.
    """
    actor = told = 0
    deadline_s = time.monotonic() + timeout_s
    while not process.has_ended():
        process.drain()
        now = actor_of(_text(process.output.rpartition(b"\n")[0]))
        if now and now != told:
            actor = stage.pid_of(now) or actor
            if not told:
                process.write(b"\n")
            told = now
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{process.argv[0]} did not end in time")
        time.sleep(0.002)
    return actor


def _text(output: bytes) -> str:
    return output.decode("utf-8", "backslashreplace")


def _wait_for(stage: Stage, action: Action, actor: int, skip: int) -> tuple[Finding | None, list[str]]:
    """The finding that counts, else the command lines of other processes that the rule held for."""
    deadline_s = time.monotonic() + (BLIND_WAIT_S if action.blind else WAIT_S)
    unknown: Finding | None = None
    while True:
        found = [one for one in stage.findings()[skip:] if one.rule == action.rule]
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
    parser.add_argument(
        "--mode", choices=("task", "host"), default="task", help="who guards: a sidecar, a host process"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write this mode's part of the Markdown document")
    arguments = parser.parse_args(argv)
    chosen = [action for action in ACTIONS if not arguments.actions or action.name in arguments.actions]
    try:
        outcomes = play_all(arguments.rules, chosen, mode=arguments.mode, tell=_print)
    except Unavailable as unavailable:
        print(f"not possible here: {unavailable}", file=sys.stderr)
        return NOT_POSSIBLE
    caught = sum(outcome.caught for outcome in outcomes)
    print(f"{caught} of {len(outcomes)} actions tripped the rule they are named after")
    if arguments.write:
        written = arguments.write.read_text() if arguments.write.exists() else ""
        arguments.write.write_text(put_part(written, arguments.mode, render(outcomes, arguments.mode)))
    return 0 if all(outcome.caught or outcome.action.blind for outcome in outcomes) else 1


def _print(outcome: Outcome) -> None:
    finding = outcome.finding
    said = f"caught ({finding.attribution}{'' if outcome.on_actor else ', no process'})" if finding else "not caught"
    print(f"{outcome.action.name:60.60} {said:24} {outcome.note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
