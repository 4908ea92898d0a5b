"""The sink: each finding, as one line of Falco's JSON, to every target."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from outrider_sidecar.falco_output.poster import Poster
from outrider_sidecar.outlets import append_line
from outrider_wire.events import Event
from outrider_wire.falco import to_alert
from outrider_wire.findings import Finding

_URL = ("http://", "https://")


class FalcoSink:
    """Writes alerts to `targets`: `-` is standard output, else a path to append to or an address to POST to.

    Raises: ConfigError for an address or a CA file that cannot be used.
    """

    def __init__(self, targets: Sequence[str], *, hostname: str, ca_file: str = "") -> None:
        self._hostname = hostname or os.uname().nodename
        self._paths = [target for target in targets if not target.startswith(_URL)]
        self._posters = [Poster(target, ca_file=ca_file) for target in targets if target.startswith(_URL)]

    def event(self, event: Event) -> None:
        """Events are not told of: Falco has no word for them."""
        del event

    def finding(self, finding: Finding) -> None:
        """Tell everyone. Raises OSError where a file takes no more."""
        alert = msgspec.json.encode(to_alert(finding, hostname=self._hostname))
        for poster in self._posters:
            poster.post(alert)
        for path in self._paths:
            append_line(path, alert)

    def status(self) -> dict[str, Any]:
        """How delivery goes, for health; empty without addresses."""
        return {
            f"falco_output {poster.url}": {
                "sent": poster.sent,
                "dropped": dict(poster.dropped),
                "error": poster.last_error,
            }
            for poster in self._posters
        }

    def losses(self) -> list[str]:
        """For each address that did not get everything one line that says how much, and why."""
        return [
            f"{count} finding{'s' * (count != 1)} could not be sent to {poster.url}: {poster.last_error or 'no time'}"
            for poster in self._posters
            if (count := poster.dropped.total())
        ]

    def close(self, *, deadline_s: float) -> None:
        """Let what waits be sent, each address in turn having its share of the time."""
        for poster in self._posters:
            poster.close(deadline_s=deadline_s / len(self._posters))
