"""Guard one container with the real supervisor, engine and gate; not a test. `python gated.py CONFIG.json`

What the lookout would tell is given: the container's first process. Beside the configuration it writes `pids` (each
process started: its name and pid), `findings` (one JSON object a line) and `status` (the gate's counts).
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from outrider_sidecar import supervisor
from outrider_sidecar.gate import GateOptions, Response, gate_sight, open_pair
from outrider_sidecar.guard import Guard, Plan
from outrider_sidecar.heartbeat import Heartbeat
from outrider_sidecar.intel import load_intel
from outrider_sidecar.linux import procfs
from outrider_sidecar.log import start_logging
from outrider_sidecar.rulebook import load_rulebook
from outrider_sidecar.settings import ExpectedDrift
from outrider_wire.events import Event, FileFacts, ProcessExecuted
from outrider_wire.findings import Finding


class Config(msgspec.Struct):
    folder: str
    pid: int
    mnt_ns: int
    baseline_ns: int
    rules: str
    dry_run: bool = False
    budget_ms: int = 2000
    """Far longer than as shipped: what is to be decided here is to be decided on a busy machine, too."""
    limit: int = 30
    busy_s: float = 0.0
    """The engine's thread does something else for so long, again and again."""
    expected_drift: list[ExpectedDrift] = []


CGROUP = f"0::/docker/{'5e' * 32}"
config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Config)
folder = Path(config.folder)


class Lines:
    """A sink that writes findings down."""

    def event(self, event: Event) -> None:
        del event

    def finding(self, finding: Finding) -> None:
        with (folder / "findings").open("ab", buffering=0) as file:
            file.write(msgspec.json.encode(finding) + b"\n")


options = GateOptions(config.dry_run, budget_ms=config.budget_ms, limit=config.limit)
rules = load_rulebook([config.rules])
pair = open_pair()


def engine_main(pipe_fd: int, heartbeat: Heartbeat) -> int:
    response = Response(pair, options)
    chores = (response.chore,)
    plan = Plan("test", rules, load_intel(()), 0, config.baseline_ns, chores=chores)
    plan = msgspec.structs.replace(plan, expected_drift=tuple(config.expected_drift))
    plan = msgspec.structs.replace(plan, own_mnt_ns=procfs.namespace(os.getpid(), "mnt"))
    guard = Guard(plan, Lines(), heartbeat)
    known = procfs.read_stat(config.pid).process
    program = FileFacts("/usr/bin/cat", 1, 1)
    guard.intake.put(
        ProcessExecuted(time.time_ns(), known, seen="found", exe=program, mnt_ns=config.mnt_ns, cgroup=CGROUP)
    )
    response.start(guard)
    threading.Thread(target=write_status, args=(response,), daemon=True).start()
    if config.busy_s:
        threading.Thread(target=keep_busy, args=(guard,), daemon=True).start()
    guard.run(pipe_fd)
    return 0


def write_status(response: Response) -> None:
    while True:
        (folder / "status.new").write_text(json.dumps({**response.status(), "at_ns": time.monotonic_ns()}))
        (folder / "status.new").replace(folder / "status")
        time.sleep(0.02)


def keep_busy(guard: Guard) -> None:
    while True:
        guard.intake.put(lambda: time.sleep(config.busy_s))
        time.sleep(config.busy_s)


start = supervisor.Child.start


def start_and_note(child: supervisor.Child, heartbeat: Heartbeat, now_s: float) -> None:
    start(child, heartbeat, now_s)
    note(child.name, child.pid)


def note(name: str, pid: int) -> None:
    with (folder / "pids").open("a") as file:
        file.write(f"{name} {pid}\n")


supervisor.Child.start = start_and_note  # type: ignore[method-assign]
start_logging()
note("supervisor", os.getpid())
sys.exit(supervisor.supervise(engine_main, gate=gate_sight(options, pair)))
