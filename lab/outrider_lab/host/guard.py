"""Outrider's host process as the lab starts it: its environment, and its body that the keeper holds."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from outrider_lab.ground import Ground
from outrider_lab.host.link import HostLink
from outrider_lab.host.machine import Machine
from outrider_lab.host.settings import HostSettings
from outrider_lab.settings import SIDECAR


class HostGuard:
    """The host process. What guards is always logged under one name, whatever its shape."""

    def __init__(self, link: HostLink, ground: Ground, command: tuple[str, ...], env: dict[str, str]) -> None:
        self._link = link
        self._ground = ground
        self._command = command
        self._env = env

    @property
    def runs(self) -> bool:
        return self._link.runs

    def start(self, ended: Callable[[], None]) -> None:
        stdio = self._ground.log(SIDECAR)
        try:
            self._link.launch(self._command, {**os.environ, **self._env}, stdio, ended)
        finally:
            for fd in set(stdio):
                os.close(fd)

    def clear(self) -> None:
        """Nothing is left to clear: its children end with it."""

    def send(self, number: signal.Signals) -> None:
        self._link.send(number)


def guard_environment(settings: HostSettings, machine: Machine, journal: Path, supervisor: int) -> dict[str, str]:
    """What the host process is told. It finds the lab's folder through the root of the supervisor."""
    host, port = machine.collector
    env = {
        "OUTRIDER_MODE": "host",
        "OUTRIDER_AGENT_URI": machine.agent_uri,
        "OUTRIDER_COLLECTOR_URL": f"http://{host}:{port}" if settings.collector_command else "",
        "OUTRIDER_TOKEN": settings.token,
        "OUTRIDER_JOURNAL_DIR": f"/proc/{supervisor}/root{journal}",
        "OUTRIDER_HEARTBEAT_S": f"{settings.heartbeat_s:g}",
        "OUTRIDER_STOP_TIMEOUT_S": f"{settings.stop_timeout_s:g}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {name: value for name, value in env.items() if value} | settings.env
