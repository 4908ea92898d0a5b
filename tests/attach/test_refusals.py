"""A process that may not be traced is told of only where it is that, and not one that ends or is in an exec."""

import os
import subprocess
import time
from types import SimpleNamespace

import pytest

from outrider_sidecar.linux import ptrace
from outrider_sidecar.sensors.attach import finder as finding
from outrider_sidecar.sensors.attach import seize
from outrider_sidecar.sensors.attach.options import TracerOptions, TreeScope
from outrider_sidecar.sensors.attach.release import ReleaseList
from outrider_sidecar.sensors.attach.table import Table
from outrider_wire.errors import ProcessGone, Unavailable

DEADLINE_S = 10.0


@pytest.fixture
def sleeper():
    """A process that does nothing."""
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child.pid
        child.kill()


def refuse(times: int, calls: list[int]):
    """A seize that is refused so often, and works after that."""

    def seize_(pid: int, options: int) -> None:
        calls.append(pid)
        if len(calls) <= times:
            raise PermissionError(1, "Operation not permitted")

    return seize_


def test_a_process_that_has_just_ended_is_gone_and_not_refused():
    """The kernel refuses to attach to a zombie with EPERM, as it does where it is forbidden."""
    with subprocess.Popen(["true"]) as child:
        deadline = time.monotonic() + DEADLINE_S
        while seize.read_standing(child.pid).state != "Z":
            assert time.monotonic() < deadline
        with pytest.raises(PermissionError):
            ptrace.seize(child.pid, ptrace.LEADER_OPTIONS)
        with pytest.raises(ProcessGone):
            seize.seize_process(child.pid)


def test_a_refusal_that_passes_is_none(sleeper, monkeypatch):
    """A living process that is refused for a moment is tried again at once."""
    calls: list[int] = []
    monkeypatch.setattr(seize.ptrace, "seize", refuse(2, calls))
    assert seize.seize_process(sleeper) == set()
    assert calls == [sleeper] * 3


def test_a_refusal_that_stays_is_told(sleeper, monkeypatch):
    """A living process that is refused each time may not be traced."""
    calls: list[int] = []
    monkeypatch.setattr(seize.ptrace, "seize", refuse(99, calls))
    with pytest.raises(Unavailable, match="may not be traced: Operation not permitted"):
        seize.seize_process(sleeper)
    assert len(calls) == seize.ATTEMPTS


class Told:
    """Stands for the teller: keeps what was said to be lost."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def found(self, *_args: object, **_kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(exe=SimpleNamespace(ino=1, path="/bin/x"), process=SimpleNamespace(start_ticks=1))

    def lost_sight(self, reason: str) -> None:
        self.lost.append(reason)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("stays", [True, False])
def test_the_finder_tells_of_a_refusal_at_the_second_look(sleeper, monkeypatch, stays):
    """Refused once, a process is looked at again at the next tick; only then it is told of and followed."""
    told, answers = Told(), iter([True, stays])

    def seize_process(pid: int, **_kwargs: object) -> set[int]:
        if next(answers):
            raise Unavailable(f"process {pid} may not be traced: Operation not permitted")
        return set()

    monkeypatch.setattr(finding, "seize_process", seize_process)
    releases = ReleaseList(frozenset(), frozenset())
    finder = finding.Finder(TracerOptions(scope=TreeScope(os.getpid())), Table(lambda _: None), told, releases)
    assert finder.look_at(sleeper, "snapshot")
    assert told.lost == [] and finder.polled_count == 0 and not finder.sees_nothing_new()
    finder.look_for_new()
    assert len(told.lost) == finder.polled_count == int(stays)
