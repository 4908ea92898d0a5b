"""How the image ends: as ECS stops a task, by SIGTERM to all of it and SIGKILL when the stopTimeout runs out."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from outrider_lab.images import Pod, Podman
from outrider_lab.images.pod import seconds_until_end
from outrider_wire.findings import Finding

pytestmark = pytest.mark.timeout(600)

STOP_TIMEOUT_S = 10.0
LONG_S = 90.0
"""A stopTimeout that nobody waits for."""
GUARDS_S = STOP_TIMEOUT_S - 5.0
ENDS_WITHIN_S = 5.0
POLLING = {"OUTRIDER_ATTACH": "off"}


@contextmanager
def task(
    podman: Podman, sidecar: str, *, stays: bool, stop_timeout_s: float = STOP_TIMEOUT_S, **environment: str
) -> Iterator[Pod]:
    """A task whose program stays after SIGTERM, or does not."""
    with Pod(podman, sidecar, stays=stays, stop_timeout_s=stop_timeout_s, environment=environment) as made:
        yield made


def ran(exe: str):
    """Whether findings hold that this file was run."""

    def holds(findings: list[Finding]) -> bool:
        return any(f.process is not None and f.process.exe == exe for f in findings)

    return holds


def attack(pod: Pod, exe: str) -> None:
    """Have the guarded program make a program and run it for a moment; returns when it runs."""
    pod.order(f"cp /bin/sleep {exe} && {exe} 2")
    pod.wait(lambda: is_running(exe))


def is_running(exe: str) -> bool:
    """Whether some process of this machine runs a program that has this path where it is."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended, or is a thread of the kernel
            if os.readlink(f"/proc/{pid}/exe") == exe:
                return True
    return False


@pytest.mark.parametrize("settings", [{}, POLLING], ids=["traced", "polled"])
def test_it_leaves_once_nobody_is_left_to_guard(podman: Podman, sidecar: str, settings: dict[str, str]):
    """Both get SIGTERM, the program ends at once: the sidecar does not wait its time out."""
    with task(podman, sidecar, stays=False, stop_timeout_s=LONG_S, **settings) as pod:
        app, guard = pod.pid(pod.app), pod.pid(pod.sidecar)
        pod.signal(pod.sidecar)
        pod.signal(pod.app)
        assert seconds_until_end(app, timeout_s=LONG_S / 4) is not None
        assert seconds_until_end(guard, timeout_s=ENDS_WITHIN_S) is not None
        assert podman.inspect(pod.sidecar)["State"]["ExitCode"] == 0
        assert not (pod.journal / "ready").exists()


@pytest.mark.parametrize("settings", [{}, POLLING], ids=["traced", "polled"])
def test_it_guards_a_program_that_stays(podman: Podman, sidecar: str, settings: dict[str, str]):
    """What is done after SIGTERM is caught and shipped; guarding ends five seconds before the stopTimeout."""
    with task(podman, sidecar, stays=True, **settings) as pod:
        guard = pod.pid(pod.sidecar)
        pod.signal(pod.app)
        pod.signal(pod.sidecar)
        began_s = time.monotonic()
        time_left = seconds_until_end(guard, timeout_s=GUARDS_S / 2)
        assert time_left is None, "it left a program unguarded"
        attack(pod, "/tmp/late")
        assert ran("/tmp/late")(pod.findings(ran("/tmp/late"), timeout_s=GUARDS_S))
        assert seconds_until_end(guard, timeout_s=STOP_TIMEOUT_S) is not None
        assert GUARDS_S - 0.5 < time.monotonic() - began_s < STOP_TIMEOUT_S
        assert podman.inspect(pod.sidecar)["State"]["ExitCode"] == 0


def test_what_is_seen_last_is_shipped(podman: Podman, sidecar: str):
    """An attack, and SIGTERM to all in the same moment: the collector has the finding, and a good-bye."""
    with task(podman, sidecar, stays=False) as pod:
        guard = pod.pid(pod.sidecar)
        attack(pod, "/tmp/last")
        pod.signal(pod.app)
        pod.signal(pod.sidecar)
        assert seconds_until_end(guard, timeout_s=GUARDS_S + ENDS_WITHIN_S) is not None
        assert ran("/tmp/last")(pod.findings(ran("/tmp/last"), timeout_s=2.0))


def test_a_collector_that_does_not_answer_does_not_keep_it(podman: Podman, sidecar: str):
    """It ends within its five seconds, by itself; its successor sends what was not delivered, from the journal."""
    with task(podman, sidecar, stays=False) as pod:
        guard = pod.pid(pod.sidecar)
        assert pod.collector is not None
        pod.wait(lambda: '"enrolled": true' in (pod.journal / "ready").read_text())
        pod.collector.send_signal(signal.SIGSTOP)
        attack(pod, "/tmp/unheard")
        pod.signal(pod.app)
        time.sleep(1.0)  # the attack's own time, and that of the request that nobody answers
        pod.signal(pod.sidecar)
        assert seconds_until_end(guard, timeout_s=ENDS_WITHIN_S) is not None
        assert podman.inspect(pod.sidecar)["State"]["ExitCode"] == 0
        pod.collector.send_signal(signal.SIGCONT)
        podman.run("start", pod.sidecar)
        assert ran("/tmp/unheard")(pod.findings(ran("/tmp/unheard")))
