"""The Compose file, really run: podman-compose, in a network namespace of its own, both images built of the checkout.

podman knows a PID namespace by a container's name and not by a service's, and no registry is asked: an override says
both.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from outrider_lab.images import BASE, Podman, build
from outrider_lab.namespaces import CLONE_NEWNET, entered, unshare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
PROJECT = "laptop"
IMAGES = {"sidecar": "localhost/outrider:laptop", "collector": "localhost/outrider-collector:laptop"}


class Laptop:
    """One project of podman-compose."""

    def __init__(self, podman: Podman, override: Path) -> None:
        self._podman = podman
        self._files = ("--file", str(FILE), "--file", str(override))

    def compose(self, *arguments: str) -> str:
        """A command of podman-compose. Raises AssertionError with what it said."""
        command = [sys.executable, "-m", "podman_compose", "--project-name", PROJECT, "--in-pod=false", *self._files]
        done = subprocess.run(
            [*command, *arguments],
            env=self._podman.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def exec(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in a service's container, as `docker compose exec` has it."""
        return self._podman.try_to("exec", f"{PROJECT}_{service}_1", *command, timeout_s=30)


@pytest.fixture(scope="module")
def laptop(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The project, up; in a network namespace that goes with it."""
    for target, name in IMAGES.items():
        build(podman, ROOT, target=target, name=name)
    override = tmp_path_factory.mktemp("compose") / "override.yaml"
    services = {
        "app": {"image": BASE},
        "outrider": {"image": IMAGES["sidecar"], "pid": f"container:{PROJECT}_app_1"},
        "collector": {"image": IMAGES["collector"]},
    }
    override.write_text(yaml.safe_dump({"services": services}))
    made = Laptop(podman, override)
    with entered("/proc/self/ns/net", CLONE_NEWNET):
        unshare(CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        made.compose("up", "--detach", "--no-build")
        try:
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout", "1")


def wait_for_finding(laptop: Laptop, exe: str, *, timeout_s: float = 30.0) -> list[dict[str, object]]:
    """What the command of the file's head shows, once it is of this file."""
    deadline = time.monotonic() + timeout_s
    while True:
        done = laptop.exec("collector", "outrider", "findings", "--collector", "http://127.0.0.1:8440", "--json")
        found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if any(exe in json.dumps(one) for one in found) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_the_attack_of_its_head_is_found(laptop: Laptop):
    """The four commands at the top of the file do what they say."""
    deadline = time.monotonic() + 60
    while laptop.exec("outrider", "outrider", "health").returncode and time.monotonic() < deadline:
        time.sleep(0.5)
    assert laptop.exec("app", "sh", "-c", "cp /bin/true /tmp/dropped && /tmp/dropped").returncode == 0
    found = wait_for_finding(laptop, "/tmp/dropped")
    assert any(one["type"] == "Execution:Runtime/NewBinaryExecuted" for one in found), found


def test_its_service_answers(laptop: Laptop):
    """The guarded service itself goes on, on the laptop's own address."""
    done = subprocess.run(["curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:8080/"], timeout=20)
    assert done.returncode == 0
