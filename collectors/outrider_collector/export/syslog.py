"""A finding as a syslog message of RFC 5424: pure.

The structured data is `[outrider@32473 …]`, 32473 being the enterprise number that RFC 5612 keeps for examples: we
have none of our own. Severities are critical, warning and notice.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal

from outrider_collector.export.asff import at_ms
from outrider_collector.export.cef import to_cef
from outrider_collector.export.formats import outrider_json
from outrider_collector.export.texts import cut_bytes, shown
from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import Severity

Format = Literal["text", "cef", "json"]

SEVERITIES: Final[dict[Severity, int]] = {"HIGH": 2, "MEDIUM": 4, "LOW": 5}
APP_NAME: Final = "outrider"
MSG_ID: Final = "finding"
SD_ID: Final = "outrider@32473"
BOM: Final = b"\xef\xbb\xbf"
MAX_PARAM: Final = 512


def to_syslog(found: StoredFinding, *, form: Format, facility: int, hostname: str, limit: int) -> bytes:
    """One message of at most `limit` bytes; its end is cut where it must be, JSON made smaller instead."""
    priority = facility * 8 + SEVERITIES[found.finding.severity]
    head = f"<{priority}>1 {at_ms(found.last_seen_ns)} {host_text(hostname)} {APP_NAME} - {MSG_ID} "
    data = head.encode() + _structured(found) + b" "
    room = limit - len(data)
    if form == "json":
        return data + _json(found, room)
    if form == "cef":
        return data + cut_bytes(to_cef(found), room)
    return data + BOM + cut_bytes(_sentence(found), room - len(BOM))


def host_text(hostname: str) -> str:
    """A hostname as the header takes it: printable ASCII without spaces."""
    return re.sub(r"[^!-~]", "", hostname)[:255] or "-"


def param_text(text: str) -> str:
    """A value of structured data: `"`, `\\` and `]` are escaped."""
    return re.sub(r'(["\\\]])', r"\\\1", text)


def _structured(found: StoredFinding) -> bytes:
    params = "".join(f' {name}="{param_text(shown(value, MAX_PARAM))}"' for name, value in _said(found) if value)
    return f"[{SD_ID}{params}]".encode()


def _said(found: StoredFinding) -> Iterator[tuple[str, str]]:
    finding = found.finding
    yield "id", found.id
    yield "type", finding.type[:128]
    yield "rule", finding.rule[:128]
    yield "severity", finding.severity
    yield "count", str(found.count)
    yield "state", found.state
    yield "agent", finding.agent[:64]
    if finding.task is not None:
        yield "task", finding.task.arn[:256]
    if finding.container is not None:
        yield "container", finding.container.name[:128]


def _sentence(found: StoredFinding) -> str:
    finding = found.finding
    return shown(finding.description or finding.title, 4096)


def _json(found: StoredFinding, room: int) -> bytes:
    whole = outrider_json(found)
    if len(whole) <= room:
        return whole
    from msgspec.json import encode

    finding = found.finding
    least = {"id": found.id, "type": shown(finding.type, 128), "severity": finding.severity, "count": found.count}
    more = least | {"title": shown(finding.title, 128), "cut": True}
    small = encode(more)
    return small if len(small) <= room else encode(least | {"type": "", "cut": True})
