"""A command under a real supervisor, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outrider_sidecar.sensors.attach import probe_attach

PROGRAM = Path(__file__).parent / "guarded.py"


class Supervised:
    """The supervisor's process and what it noted."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        self._pids, self._events = folder / "pids", folder / "events"
        self._pids.touch()
        self._events.touch()
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self._pids), str(self._events), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # a job of its own, as a shell makes one: in an orphaned group SIGTSTP would do nothing
        )

    def pids(self, name: str) -> list[int]:
        lines = [line.split() for line in self._pids.read_text().splitlines()]
        return [int(words[1]) for words in lines if len(words) == 2 and words[0] == name]

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._events.read_text().splitlines() if line.endswith("}")]

    def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come"
            assert self.process.poll() is None, f"it ended early: {self.process.communicate()}"
            time.sleep(0.005)

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal to the newest process of this name, if it is still there."""
        self.until(lambda: self.pids(name), name)
        try:
            os.kill(self.pids(name)[-1], number)
        except ProcessLookupError:
            pass

    def saw(self, name: str) -> list[dict[str, object]]:
        return [
            event
            for event in self.events()
            if event["event"] == "ProcessExecuted" and str(event["exe"]["path"]).endswith("/" + name)  # type: ignore[index]
        ]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Start a command under a supervisor."""
    can = probe_attach()
    if not can.available:
        pytest.skip(can.reason)
    started: list[Supervised] = []

    def start(*command: str) -> Supervised:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Supervised(folder, list(command)))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()
