"""A full disk or a bad collector harms no guarded program, and what was found meanwhile arrives afterwards."""

import signal
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from outrider_lab.settings import guarded_task
from outrider_lab.task import Task

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
MOODY = Path(__file__).parent / "programs" / "moody_collector.py"


def arrives(task: Task, path: str, *, timeout_s: float = 60.0) -> bool:
    def is_there(findings) -> bool:
        return any(path in str(finding.evidence) for finding in findings)

    return is_there(task.findings(is_there, timeout_s=timeout_s))


def test_a_full_disk(guarding, spawning, attack, kill_all):
    """With no room for the journal every result is right, and findings still reach the collector."""
    with Task(replace(guarded_task(), journal_size_bytes=4 << 20)) as task:
        guarding(task)
        with spawning(task) as noticed:
            try:
                with open(task.journal / "filler", "wb", buffering=0) as filler:
                    while True:
                        filler.write(b"x" * 4096)
            except OSError:
                pass
            path = attack(task, "on-a-full-disk")
            assert arrives(task, path)
            kill_all(task)
            (task.journal / "filler").unlink()
            guarding(task)
            assert arrives(task, attack(task, "with-room-again"))
    assert noticed.wrong == []
    assert noticed.spawns > 100


@pytest.mark.parametrize("status", ["403", "500", "503"])
def test_a_collector_that_refuses(status: str, tmp_path: Path, guarding, spawning, attack, wait_for):
    """What was found while the collector refused arrives when it accepts again."""
    mood = tmp_path / "mood"
    mood.write_text(status)
    settings = replace(guarded_task(), collector_command=(sys.executable, str(MOODY), str(mood)))
    with Task(settings) as task:
        guarding(task)
        with spawning(task) as noticed:
            path = attack(task, "while-refused")
            wait_for(lambda: '"what": "delivery-failed"' in task.log("outrider"), what="a refusal")
            mood.write_text("")
            task.control("collector", "stop")
            task.control("collector", "start")
            assert arrives(task, path), task.log("outrider")[-2000:]
    assert noticed.wrong == []


def test_a_collector_that_hangs(guarding, spawning, attack, wait_for):
    """A collector that takes connections and never answers delays findings and nothing else."""
    with Task(guarded_task()) as task:
        guarding(task)
        with spawning(task, timed=True) as noticed:
            task.send_signal("collector", signal.SIGSTOP)
            path = attack(task, "while-it-hangs")
            wait_for(lambda: '"what": "delivery-failed"' in task.log("outrider"), what="a time-out")
            task.send_signal("collector", signal.SIGCONT)
            assert arrives(task, path)
    assert noticed.wrong == []
    assert noticed.waited_ms < 500.0, noticed


def test_a_collector_that_vanishes(guarding, spawning, attack, wait_for, kill_all):
    """What was found while there was no collector arrives when there is one, also when the sidecar was killed."""
    with Task(guarded_task()) as task:
        guarding(task)
        with spawning(task) as noticed:
            task.control("collector", "stop")
            paths = [attack(task, "while-it-is-gone")]
            wait_for(lambda: '"what": "delivery-failed"' in task.log("outrider"), what="a failure")
            kill_all(task)
            guarding(task)
            paths.append(attack(task, "while-it-is-gone-still"))
            task.control("collector", "start")
            for path in paths:
                assert arrives(task, path), path
    assert noticed.wrong == []
