"""The supervisor: forks the tracer and the engine, watches them, starts anew what died, and ends in order.

On a host the lookout stands in the tracer's place, and a third child may stand beside them: the gate.

It holds both ends of the event pipe, so a tracer or an engine may die without losing what lies in it. Records
are written whole (see outlet.py), so a dead tracer leaves no torn one. A dead engine may have read half of one:
the pipe is then drained up to where the next write begins, and the engine told what was lost.

One loop, one system call a tick: sigtimedwait(2) on the signals it lives by. It never waits for anybody longer
than a tick. When it dies, both children get SIGTERM from the kernel, and the tracees go on untraced.

On SIGTERM guarding goes on until no guarded process is left, or until `stop_after_s`: a stopping task is not an
unguarded one. In `watch` the signal is the command's, and the command's end is ours.

Who watches us while no child of ours can is the service manager, where there is one: it hears a beat from each round of
the loop that finds all children well, and ends all of us where it hears none for long.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from outrider_sidecar.child import NAME, WAKING, Child
from outrider_sidecar.heartbeat import Heartbeat, Slot
from outrider_sidecar.launch import Launched, exit_code, launch
from outrider_sidecar.linux import prctl
from outrider_sidecar.linux.sd_notify import ServiceManager
from outrider_sidecar.linux.signals import SignalWait
from outrider_sidecar.sensors.attach import (
    TracerOptions,
    TreeScope,
    make_event_pipe,
    run_tracer,
    sight_was_lost,
)

EngineMain = Callable[[int, Heartbeat], int]
"""The engine's whole life, in a process of its own: reads the pipe until its end, beats, gives an exit code."""

Sight = Callable[[int, Heartbeat, int, int], int]
"""The whole life of a process that feeds the pipe: (its write end, the beats, the supervisor's pid, which start)."""

TICK_S: Final = 0.16
"""Between two looks while every child runs. Less than the silence (STANDING_NS) after which others look at us."""
QUICK_TICK_S: Final = 0.08
"""Between two looks while one is stopped or gone, which the kernel says at once."""
READY_WAIT_S: Final = 3.0
DRAIN_S: Final = 4.5
"""Longest that the end takes once guarding is over; five seconds later the task's SIGKILL comes."""
ENDING: Final = 2


class Supervisor:
    """The loop and its state. Built by `supervise`."""

    def __init__(
        self,
        engine_main: EngineMain,
        sight: Sight | None,
        gate: Sight | None,
        command: Launched | None,
        *,
        stop_after_s: float,
        drain_s: float,
        sight_name: str = "tracer",
        manager: ServiceManager | None = None,
    ) -> None:
        self._manager = manager
        self._signals = SignalWait(WAKING)
        self.heartbeat = Heartbeat()
        self._read_fd, self._write_fd = make_event_pipe()
        self._pid = os.getpid()
        self._command = command
        self._command_status: int | None = None
        self._stop_after_s = stop_after_s
        self._drain_s = drain_s
        self._engine_main = engine_main
        self._engine = Child("engine", Slot.ENGINE_BEAT, Slot.ENGINE_STARTS, self._run_engine)
        self._children = [self._engine]
        self._tracer = self._feeder(sight_name, Slot.TRACER_BEAT, Slot.TRACER_STARTS, sight)
        self._gate = self._feeder("gate", Slot.GATE_BEAT, Slot.GATE_STARTS, gate)
        self._stop_at_s: float | None = None
        self._blind_since_ns = 0
        self._engine_code = 0

    def _feeder(self, name: str, beat: Slot, starts: Slot, sight: Sight | None) -> Child | None:
        """A child that feeds the pipe, where there is to be one."""
        if sight is None:
            return None
        child = Child(name, beat, starts, partial(self._run_feeder, sight))
        self._children.append(child)
        return child

    def run(self) -> int:
        """Guard until it is time to end; the command's exit code, else the engine's."""
        started_s = time.monotonic()
        self.heartbeat.beat(Slot.SUPERVISOR_BEAT)
        while not self._is_over():
            now_s = time.monotonic()
            self.heartbeat.beat(Slot.SUPERVISOR_BEAT)
            self._start_missing(now_s)
            self._kill_hung()
            self._say_when_sight_is_back()
            self._say_that_all_is_well(now_s)
            waiting = self._mind_the_gate(now_s - started_s)
            self._wait(0.002 if waiting else self._pause_s())
        return self._end()

    def _is_over(self) -> bool:
        if self._command is not None:
            return self._command_status is not None
        if self._stop_at_s is None:
            return False
        return time.monotonic() >= self._stop_at_s or self.heartbeat[Slot.GUARDED] == 0

    def _start_missing(self, now_s: float) -> None:
        for child in self._children:
            if not child.pid and now_s >= child.start_at_s:
                child.start(self.heartbeat, now_s)

    def _kill_hung(self) -> None:
        now_ns = time.monotonic_ns()
        for child in self._children:
            child.standing = child.watch is not None and child.watch.is_standing(self.heartbeat, now_ns)
            if child.standing:
                os.kill(child.pid, signal.SIGKILL)

    def _say_that_all_is_well(self, now_s: float) -> None:
        if self._manager is not None:
            self._manager.say_ready()
            if all(child.is_well(now_s) for child in self._children):
                self._manager.beat()

    def _pause_s(self) -> float:
        return QUICK_TICK_S if any(child.stopped or not child.pid for child in self._children) else TICK_S

    def _mind_the_gate(self, waited_s: float) -> bool:
        """Open the command's gate once it is seized; whether it still waits."""
        if self._command is None or self._command.gate_fd < 0:
            return False
        if self._tracer is None or self.heartbeat[Slot.TRACER_READY] or waited_s > READY_WAIT_S:
            self._command.open_gate()
            return False
        return True

    def _wait(self, timeout_s: float) -> None:
        number = self._signals.wait(timeout_s)
        if number is None:
            return
        if number == signal.SIGCHLD:
            self._reap()
        elif self._command is not None:
            if number in (signal.SIGTERM, signal.SIGHUP) and self._command_status is None:
                os.kill(self._command.pid, number)  # the terminal sends SIGINT to the command itself
        elif self._stop_at_s is None and number != signal.SIGHUP:
            self._stop_at_s = time.monotonic() + self._stop_after_s
            self.heartbeat[Slot.STOPPING] = 1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._command and pid == self._command.pid:
                self._command_changed(status)
            elif os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self._child_changed(pid, stopped=os.WIFSTOPPED(status))
            else:
                self._child_died(pid, status)

    def _child_changed(self, pid: int, *, stopped: bool) -> None:
        for child in self._children:
            if child.pid == pid:
                child.stopped = stopped

    def _command_changed(self, status: int) -> None:
        if os.WIFCONTINUED(status):
            return
        if not os.WIFSTOPPED(status):
            self._command_status = status
            return
        if os.WSTOPSIG(status) in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            self.heartbeat[Slot.SUPERVISOR_RESTS] = 1  # the user's shell must see the whole job stopped
            os.kill(self._pid, signal.SIGSTOP)
            self.heartbeat.beat(Slot.SUPERVISOR_BEAT)
            self.heartbeat[Slot.SUPERVISOR_RESTS] = 0

    def _child_died(self, pid: int, status: int) -> None:
        now_s = time.monotonic()
        for child in self._children:
            if child.pid == pid:
                child.died(now_s)
                if child is self._engine:
                    self._engine_code = exit_code(status)
                    if self.heartbeat[Slot.STOPPING] < ENDING:
                        self._drain(child.died_ns)
                elif child is self._tracer and not self._blind_since_ns:
                    self._blind_since_ns = child.died_ns

    def _drain(self, since_ns: int) -> None:
        """Empty the pipe to the next record's start; what was in it is lost with the engine that half read it."""
        os.set_blocking(self._read_fd, False)
        lost_bytes = 0
        try:
            while data := os.read(self._read_fd, 1 << 20):
                lost_bytes += len(data)
        except BlockingIOError:
            pass
        os.set_blocking(self._read_fd, True)
        self._write(
            sight_was_lost(since_ns, f"the engine died; {lost_bytes} bytes of events on their way to it are lost")
        )

    def _say_when_sight_is_back(self) -> None:
        starts = self.heartbeat[Slot.TRACER_STARTS]
        if self._blind_since_ns and self._tracer and self._tracer.pid and self.heartbeat[Slot.TRACER_READY] == starts:
            reason = f"the {self._tracer.name} died and was started anew ({starts} starts)"
            self._write(sight_was_lost(self._blind_since_ns, reason))
            self._blind_since_ns = 0

    def _write(self, record: bytes) -> None:
        try:
            os.write(self._write_fd, record)
        except BlockingIOError:
            pass  # a full pipe: the tracer counts what it drops, and the engine reads TRACER_STARTS

    def _end(self) -> int:
        """Stop the tracer, let the engine read the pipe to its end, and give the exit code."""
        self.heartbeat[Slot.STOPPING] = ENDING
        deadline_s = time.monotonic() + self._drain_s
        for child in (self._gate, self._tracer):
            self._finish(child, deadline_s, tell=True)
        os.close(self._write_fd)
        self._finish(self._engine, deadline_s, tell=False)
        if self._command_status is not None:
            return exit_code(self._command_status)
        return self._engine_code

    def _finish(self, child: Child | None, deadline_s: float, *, tell: bool) -> None:
        if child is None:
            return
        if child.pid and tell:
            os.kill(child.pid, signal.SIGTERM)
        while child.pid:
            self.heartbeat.beat(Slot.SUPERVISOR_BEAT)
            if time.monotonic() > deadline_s:
                os.kill(child.pid, signal.SIGKILL)
            self._wait(0.01)

    def _run_engine(self, _generation: int) -> int:
        os.close(self._write_fd)
        self._close_gate()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self._engine_main(self._read_fd, self.heartbeat)

    def _run_feeder(self, sight: Sight, generation: int) -> int:
        os.close(self._read_fd)
        self._close_gate()
        return sight(self._write_fd, self.heartbeat, self._pid, generation)

    def _close_gate(self) -> None:
        if self._command is not None:
            self._command.open_gate()


def supervise(
    engine_main: EngineMain,
    *,
    tracer: TracerOptions | None = None,
    lookout: Sight | None = None,
    gate: Sight | None = None,
    command: Sequence[str] = (),
    stop_after_s: float = 25.0,
    drain_s: float = DRAIN_S,
    manager: ServiceManager | None = None,
) -> int:
    """Guard until SIGTERM (or the command's end), and give the exit code. Blocks; call it in the main thread.

    Without `tracer` and `lookout` no process is told of but by polling; there is one of the two. `gate` decides
    which programs may start. With `command` that command is started and
    guarded with all its descendants, and the exit code is its own; the scope of `tracer` is then made for it.
    `stop_after_s` is how long guarding goes on after SIGTERM while guarded processes live (the task's
    stopTimeout less 5 s); `drain_s` is how long the engine may take to read what is left. `manager` is told that we run
    and are well.
    """
    prctl.set_dumpable(False)
    prctl.set_name(NAME)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    launched = launch(command) if command else None
    if launched and tracer:
        tracer = msgspec.structs.replace(tracer, scope=TreeScope(launched.pid), gated_pid=launched.pid)
    try:
        sight = _tracing(tracer) if tracer else lookout
        name = "lookout" if lookout is not None else "tracer"
        return Supervisor(
            *(engine_main, sight, gate, launched),
            stop_after_s=stop_after_s,
            drain_s=drain_s,
            sight_name=name,
            manager=manager,
        ).run()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tracing(options: TracerOptions) -> Sight:
    def trace(pipe_fd: int, heartbeat: Heartbeat, supervisor_pid: int, generation: int) -> int:
        return run_tracer(options, pipe_fd, heartbeat, supervisor_pid=supervisor_pid, generation=generation)

    return trace
