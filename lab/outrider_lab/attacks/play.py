"""Playing a scenario in a task: its peer first, then its command, then what came of both."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from outrider_lab.attacks.quiet import AGENT_FOLDER
from outrider_lab.attacks.scenario import Scenario
from outrider_lab.host.machine import LOOPBACK, free_port
from outrider_lab.needs import missing_tools
from outrider_lab.process import LabProcess
from outrider_lab.running import RunningTask
from outrider_lab.settings import Mount
from outrider_wire.errors import Unavailable

PROGRAMS: Final = Path(__file__).with_name("programs")
_ports = itertools.count(4100)


class Played(Struct, frozen=True):
    """What came of a scenario. `worked` says whether it did what it is for; `heard` is the peer's side."""

    scenario: Scenario
    worked: bool
    code: int
    output: bytes
    errors: bytes
    heard: bytes


def check_tools(scenario: Scenario) -> None:
    """Raises Unavailable with the tools the machine lacks."""
    if missing := missing_tools(scenario.tools):
        raise Unavailable(f"{scenario.name} needs {', '.join(missing)}", "make packages")


def prepare_mounts(scenario: Scenario, folder: Path) -> tuple[Mount, ...]:
    """What the scenario's task must be made with; `folder` is of this machine and outlives the task."""
    return tuple(
        replace(mount, source=str(prepare_agents(folder))) if mount.source == AGENT_FOLDER else mount
        for mount in scenario.mounts
    )


def prepare_agents(folder: Path) -> Path:
    """A folder as ECS mounts it for ECS Exec: its session worker is a program of its own, older than the task."""
    agents = folder / "agents"
    agents.mkdir(exist_ok=True)
    found = shutil.which("socat")
    if found is None:
        raise Unavailable("socat is missing", "install the package socat")
    shutil.copy(found, agents / "ssm-session-worker")
    return agents


def play(task: RunningTask, scenario: Scenario, *, loopback: bool = False, folder: Path | None = None) -> Played:
    """Do it, to its end. `folder` keeps what both sides must see (keys). Raises Unavailable, TimeoutError.

    Where the task has the machine's own network, its peers are on the machine's loopback, at a port that was free.
    """
    check_tools(scenario)
    host = LOOPBACK if loopback else task.attacker
    port = free_port() if task.attacker == LOOPBACK else next(_ports)
    peer = None
    if scenario.peer is not None and not scenario.peer.connects:
        peer = start_peer(task, scenario, host, port, loopback=loopback)
    try:
        if scenario.peer is not None and scenario.peer.connects:
            return _play_server(task, scenario, port, folder)
        process = _start(task, scenario, host=host, port=port)
        done = process.communicate(timeout_s=scenario.timeout_s)
        if peer is not None and scenario.peer is not None and scenario.peer.until:
            peer.wait(timeout_s=scenario.timeout_s)
        return _result(scenario, done, _heard(peer, scenario))
    finally:
        if peer is not None:
            peer.close()


def start_peer(task: RunningTask, scenario: Scenario, host: str, port: int, *, loopback: bool = False) -> LabProcess:
    """Start the scenario's peer and wait until it listens: beside the task, or in it for loopback."""
    argv = [sys.executable, str(PROGRAMS / "peer.py"), json.dumps(to_builtins(scenario.peer)), host, str(port)]
    peer = task.exec_popen(argv) if loopback else task.beside_popen(argv)
    peer.read_until(b"listening\n")
    return peer


def command_line(scenario: Scenario, *, host: str = "", port: int = 0, folder: Path | None = None) -> str:
    """The scenario's command with its places filled in (not by format: commands are full of braces)."""
    values = {"host": host, "port": port, "python": sys.executable, "programs": PROGRAMS, "folder": folder or ""}
    text = scenario.command
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _start(task: RunningTask, scenario: Scenario, *, host: str, port: int, folder: Path | None = None) -> LabProcess:
    line = command_line(scenario, host=host, port=port, folder=folder)
    return task.exec_popen(["/bin/sh", "-c", "exec " + line]) if scenario.how == "exec" else task.popen(line)


def _play_server(task: RunningTask, scenario: Scenario, port: int, folder: Path | None) -> Played:
    """The command serves, and the peer comes to it from beside the task; the command is ended afterwards."""
    if folder is None or scenario.peer is None:
        raise ValueError(f"{scenario.name} needs a folder for its key")
    if not (folder / "key").exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    key = (folder / "key.pub").read_text().strip()
    line = command_line(scenario, port=port, folder=folder).replace(f"cp {folder}/key.pub", f"echo '{key}' >")
    before = {process.pid for process in task.processes()}
    server = task.popen(line)
    client = scenario.peer.connects.replace("{folder}", str(folder)).replace("{port}", str(port))
    client = client.replace("{address}", task.address)
    with task.beside_popen(["/bin/sh", "-c", client]) as visitor:
        visitor.wait(timeout_s=scenario.timeout_s)
        heard = visitor.output + visitor.errors
    for process in task.processes():
        if process.pid not in before and process.argv and "sshd" in process.argv[0]:
            os.kill(process.pid, signal.SIGTERM)
    return _result(scenario, server.communicate(timeout_s=5.0), heard)


def _heard(peer: LabProcess | None, scenario: Scenario) -> bytes:
    if peer is None:
        return b""
    if scenario.expect and scenario.expect.encode() not in peer.output:
        peer.has_ended()
        peer.drain()
    return peer.output


def _result(scenario: Scenario, done: subprocess.CompletedProcess[bytes], heard: bytes) -> Played:
    seen = done.stdout + heard
    worked = scenario.expect.encode() in seen if scenario.expect else done.returncode == 0
    return Played(scenario, worked, done.returncode, done.stdout, done.stderr, heard)
