"""The Compose file for a laptop: judged by Compose itself, and held to what the image and the settings are."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from outrider_collector.settings import Settings as CollectorSettings
from outrider_sidecar.settings import load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Compose's own command, which needs no daemon for this."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTRIDER_")}
    return subprocess.run(
        ["docker-compose", "--file", str(FILE), *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, object]]:
    """The services as Compose reads them, defaults filled in."""
    try:
        done = compose("config")
    except FileNotFoundError:
        pytest.skip("docker-compose is missing: install the package docker-compose")
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["services"])


def test_compose_accepts_it(services):
    """Its own schema and its own checks."""
    assert set(services) == {"app", "outrider", "collector"}


def test_the_sidecar_rides_in_the_service(services):
    """Processes and network are the service's; everything else is as a task definition has it."""
    sidecar = services["outrider"]
    assert (sidecar["pid"], sidecar["network_mode"]) == ("service:app", "service:app")
    assert sidecar["cap_add"] == ["SYS_PTRACE"]
    assert sidecar["read_only"] is True
    assert not {"privileged", "security_opt", "ports"} & sidecar.keys()
    assert not {"cap_add", "pid", "privileged"} & services["app"].keys()


def test_its_settings_are_settings(services):
    """Every variable is one that the sidecar or the collector knows, and both agree on token and address."""
    told = {name: str(value) for name, value in services["outrider"]["environment"].items()}
    settings, _ = load(told)
    assert settings.collector_url == "http://collector:8440"
    collector = services["collector"]["environment"]
    assert settings.token == collector["OUTRIDER_COLLECTOR_TOKEN"]
    names = {name.removeprefix("OUTRIDER_COLLECTOR_").lower() for name in collector if "COLLECTOR" in name}
    assert names <= set(CollectorSettings.__struct_fields__)


def test_it_has_the_time_that_it_counts_on(services):
    """Docker's grace is the stopTimeout that the sidecar is told of."""
    settings, _ = load({name: str(value) for name, value in services["outrider"]["environment"].items()})
    assert str(services["outrider"]["stop_grace_period"]) == f"{settings.stop_timeout_s:.0f}s"


def test_nothing_is_open_to_the_network(services):
    """Ports of the laptop's are its own."""
    ports = [str(port) for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_its_targets_are_the_dockerfile_s(services):
    """Both images are built of this checkout."""
    stages = (ROOT / "Dockerfile").read_text()
    for name, target in (("outrider", "sidecar"), ("collector", "collector")):
        assert services[name]["build"]["target"] == target
        assert f"FROM scratch AS {target}\n" in stages
