"""Which sensors that only some rules need are worth starting: those whose events some armed rule can hold for.

Worked out as arming is, with a sight that shows nothing but what the one sensor tells: a rule that asks for a write,
or for the reading of a file that is not on the list, does not start the sensor of readings.
"""

from typing import Final

from outrider_rules import RuleSet, Sight, Supply, arm
from outrider_sidecar.fields.supply import PACKET_SOCKETS, WAS_READ

READINGS: Final = Sight({"open": (WAS_READ,)})
SOCKETS: Final = Sight(
    {"socket": (PACKET_SOCKETS,), "connect": (Supply(values={"fd.l4proto": ("udp",), "net.protocol": ("udp",)}),)}
)


def wants_readings(rules: RuleSet) -> bool:
    """Whether a rule can hold for what `ReadSensor` tells."""
    return _can_hold(rules, READINGS)


def wants_sockets(rules: RuleSet) -> bool:
    """Whether a rule can hold for what `SocketSensor` tells."""
    return _can_hold(rules, SOCKETS)


def _can_hold(rules: RuleSet, sight: Sight) -> bool:
    return any(arming.enabled and arming.state != "blind" for arming in arm(rules, sight))
