"""A finding in the Common Event Format, version 0: pure.

In the header `\\` and `|` are escaped, in the extension `\\`, `=` and line ends; nothing else may be.
"""

from typing import Final

from outrider_collector.export.asff import remote_of
from outrider_collector.export.texts import shown
from outrider_collector.store.stored import StoredFinding
from outrider_wire.findings import Severity

SEVERITIES: Final[dict[Severity, int]] = {"LOW": 3, "MEDIUM": 6, "HIGH": 9}
VERSION: Final = "1"
"""Of our extension fields."""


def to_cef(found: StoredFinding) -> str:
    """One line. `externalId` is the finding's id, the same for ever; cs1 to cs6 carry their labels."""
    finding = found.finding
    header = (
        "CEF:0",
        "Outrider",
        "Outrider",
        VERSION,
        header_text(shown(finding.type, 256)),
        header_text(shown(finding.title, 512)),
        str(SEVERITIES[finding.severity]),
    )
    return "|".join(header) + "|" + " ".join(f"{key}={value}" for key, value in _extension(found).items() if value)


def header_text(text: str) -> str:
    """A text for the header."""
    return " ".join(text.splitlines()).replace("\\", "\\\\").replace("|", "\\|")


def extension_text(text: str) -> str:
    """A value for the extension."""
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _extension(found: StoredFinding) -> dict[str, str]:
    finding = found.finding
    process, container, task = finding.process, finding.container, finding.task
    said: dict[str, object] = {
        "externalId": found.id,
        "rt": found.last_seen_ns // 1_000_000,
        "start": found.first_seen_ns // 1_000_000,
        "end": found.last_seen_ns // 1_000_000,
        "cnt": found.count,
        "cat": finding.type,
        "msg": finding.description or finding.title,
        "act": found.state,
        "deviceExternalId": finding.agent,
        "cs4Label": "rule",
        "cs4": finding.rule,
    }
    if process is not None:
        said |= {"sproc": process.exe or process.name, "spid": process.pid, "suid": process.uid}
        said |= {"cs3Label": "commandLine", "cs3": process.cmdline}
    if container is not None:
        said |= {"cs2Label": "container", "cs2": container.name or container.id}
        said |= {"cs5Label": "image", "cs5": container.image}
    if task is not None:
        said |= {"cs1Label": "task", "cs1": task.arn, "cs6Label": "family", "cs6": task.family}
    if (remote := remote_of(finding)) is not None:
        said |= {"c6a3Label": "remote", "c6a3": remote[0]} if ":" in remote[0] else {"dst": remote[0]}
        said |= {"dpt": remote[1]} if remote[1] else {}
    for key, name in (("dhost", "dns.name"), ("filePath", "proc.new_file")):
        if isinstance(value := finding.evidence.get(name), str):
            said[key] = value
    texts = {key: extension_text(shown(str(value), 1023)) for key, value in said.items()}
    return {key: value for key, value in texts.items() if value and (not key.endswith("Label") or texts[key[:-5]])}
