"""Findings as Falco would print them: to standard output, to a file, or by HTTP to whoever takes Falco's alerts.

    sink = FalcoSink(["-", "https://sidekick.example:2801/"], hostname="web-1")
    sink.finding(finding)         # never waits for the network
    sink.close(deadline_s=2.0)

Nothing is connected, and no thread made, before the first finding.
"""

from outrider_sidecar.falco_output.poster import Poster
from outrider_sidecar.falco_output.sink import FalcoSink
from outrider_wire.falco import FalcoAlert, to_alert

__all__ = ["FalcoAlert", "FalcoSink", "Poster", "to_alert"]
