"""A tracer over one real process tree, with its events collected in the test."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from msgspec.msgpack import decode

from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.linux import prctl
from outrider_sidecar.sensors.attach import TracerOptions, TreeScope, make_event_pipe, probe_attach, run_tracer
from outrider_wire.events import Event, ProcessExecuted

DEADLINE_S = 30.0
GATE = 'read _; exec "$@"'


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.005)


class Tracing:
    """A tracer process; `events` grows while it runs."""

    def __init__(self, options: TracerOptions) -> None:
        self.heartbeat = Heartbeat()
        self.events: list[Event] = []
        read_fd, write_fd = make_event_pipe()
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                prctl.set_parent_death_signal(signal.SIGTERM)
                os.close(read_fd)
                code = run_tracer(options, write_fd, self.heartbeat)
            finally:
                os._exit(code)
        os.close(write_fd)
        self._thread = threading.Thread(target=self._collect, args=(read_fd,), daemon=True)
        self._thread.start()
        wait_until(lambda: self.heartbeat[Slot.TRACER_READY], "the tracer")

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def executed(self, name: str) -> list[ProcessExecuted]:
        return [event for event in self.of(ProcessExecuted) if event.exe.path.endswith("/" + name)]

    def end(self) -> int:
        """Stop the tracer; its wait status. All events are there afterwards."""
        os.kill(self.pid, signal.SIGTERM)
        status = os.waitpid(self.pid, 0)[1]
        self._thread.join(DEADLINE_S)
        return status

    def _collect(self, fd: int) -> None:
        stream = msgpack.Unpacker(max_buffer_size=0)
        while data := os.read(fd, 1 << 20):
            stream.feed(data)
            self.events.extend(decode(record, type=Event) for record in stream)
        os.close(fd)


class Run:
    """A command that waits at a gate until it is traced."""

    def __init__(self, command: list[str], **options: object) -> None:
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", GATE, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.pid = self.process.pid
        self.tracing = Tracing(TracerOptions(scope=TreeScope(self.pid), **options))  # type: ignore[arg-type]

    def finish(self, given: str = "") -> str:
        """Open the gate, wait for the end, end the tracer; what the command printed."""
        output, _ = self.process.communicate("\n" + given, timeout=100)
        assert os.WEXITSTATUS(self.tracing.end()) == 0
        return output


@pytest.fixture(scope="session")
def attach() -> None:
    can = probe_attach()
    if not can.available:
        pytest.skip(can.reason)


@pytest.fixture
def run(attach: None) -> Iterator[Callable[..., Run]]:
    """Start a command at its gate, under a tracer of its own."""
    started: list[Run] = []

    def start(*command: str, **options: object) -> Run:
        started.append(Run(list(command), **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


@pytest.fixture
def trace(attach: None) -> Callable[[TracerOptions], Tracing]:
    """Start a tracer with these options."""
    return Tracing


@pytest.fixture(scope="session")
def compile_c() -> Iterator[Callable[[str], Path]]:
    """Compile a C program; its path, which every user may run."""
    top = Path(tempfile.mkdtemp(prefix="outrider-test-"))
    top.chmod(0o755)

    def build(source: str) -> Path:
        folder = Path(tempfile.mkdtemp(dir=top))
        folder.chmod(0o755)
        (folder / "program.c").write_text(source)
        made = subprocess.run(
            ["gcc", "-O1", "-pthread", "-o", folder / "program", folder / "program.c"], capture_output=True, text=True
        )
        if made.returncode:
            pytest.fail(made.stderr)
        return folder / "program"

    yield build
    shutil.rmtree(top)
