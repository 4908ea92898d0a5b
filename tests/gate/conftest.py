"""A container to be guarded, and a real supervisor with engine and gate around it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outrider_lab.box import Box
from outrider_sidecar.gate import probe_gate
from outrider_wire.errors import Unavailable

GATED = Path(__file__).parent / "gated.py"
PATIENCE_S = 30.0
RULES = """
- rule: New Binary Executed
  respond: deny
  override: {respond: replace}
- rule: Fileless Execution
  respond: deny
  override: {respond: replace}
"""


class Inside:
    """A box, and how tests run things in it."""

    def __init__(self, box: Box) -> None:
        self.pid, self.mnt_ns, self.baseline_ns, self.volume = box.pid, box.mnt_ns, box.baseline_ns, box.volume
        self.command = box.command

    def run(self, script: str, *, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a shell script."""
        command = self.command(["/bin/sh", "-c", script])
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)

    def python(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program."""
        command = self.command([os.path.realpath(sys.executable), "-S", "-E", "-c", program, *arguments])
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


class Gated:
    """The supervisor's process and what it wrote down."""

    def __init__(self, folder: Path, box: Inside, rules: str, **config: Any) -> None:
        self._folder = folder
        for name in ("pids", "findings"):
            (folder / name).touch()
        (folder / "rules.yaml").write_text(rules)
        known = {"folder": str(folder), "pid": box.pid, "mnt_ns": box.mnt_ns, "baseline_ns": box.baseline_ns}
        (folder / "config").write_text(json.dumps({**known, "rules": str(folder / "rules.yaml"), **config}))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([sys.executable, str(GATED), str(folder / "config")], stderr=log)
        self.until(lambda: self.status.get("covered") == 1, "the gate")

    @property
    def status(self) -> dict[str, int]:
        try:
            return dict(json.loads((self._folder / "status").read_text()))
        except FileNotFoundError:
            return {}

    def counts(self) -> dict[str, int]:
        """The status as it is from now on."""
        now_ns = time.monotonic_ns()
        self.until(lambda: self.status.get("at_ns", 0) > now_ns, "a new status")
        return self.status

    @property
    def findings(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._folder / "findings").read_text().splitlines()]

    def pids(self, name: str) -> list[int]:
        lines = [line.split() for line in (self._folder / "pids").read_text().splitlines()]
        return [int(words[1]) for words in lines if len(words) == 2 and words[0] == name]

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            log = (self._folder / "log").read_text()
            assert time.monotonic() < deadline_s, f"{what} did not come: {self.status} {self.findings} {log}"
            assert self.process.poll() is None, f"it ended early: {log}"
            time.sleep(0.005)

    def found(self, start: str) -> list[dict[str, Any]]:
        """Findings whose type or title starts so."""
        return [f for f in self.findings if f["type"].startswith(start) or f["title"].startswith(start)]

    def losses(self) -> list[str]:
        """The reasons of what was lost of the gate's own work."""
        found = (finding["evidence"] for finding in self.found("Outrider:Integrity/SightLost"))
        return [evidence["reason"] for evidence in found if evidence["sense"] == "respond"]

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to the newest process of this name, if it is still there."""
        try:
            os.kill(self.pids(name)[-1], number)
        except ProcessLookupError:
            pass

    def replace(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a process and wait for the next of its name."""
        known = len(self.pids(name))
        self.send(name, number)
        self.until(lambda: len(self.pids(name)) > known, f"a new {name}")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Inside]:
    """A container."""
    folder = tmp_path / "box"
    folder.mkdir()
    try:
        box = Box(folder)
    except Unavailable as error:
        pytest.skip(str(error))
    yield Inside(box)
    box.close()


@pytest.fixture
def gate(tmp_path: Path, box: Inside) -> Iterator[Callable[..., Gated]]:
    """Guard the box; arguments are those of gated.py's configuration."""
    can = probe_gate()
    if not can.available:
        pytest.skip(can.reason)
    started: list[Gated] = []

    def start(rules: str = RULES, **config: Any) -> Gated:
        folder = tmp_path / f"gate{len(started)}"
        folder.mkdir()
        started.append(Gated(folder, box, rules, **config))
        return started[-1]

    yield start
    for each in started:
        each.close()
