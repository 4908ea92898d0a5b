"""Leftovers: what earlier processes put in the journal and could not send.

Their sealed batches are sent as they are: their keys are enrolled. Their open segments are taken over by rename
into the successor's directory, named after the agent whose records they are, and sealed by the successor.
"""

import contextlib
import os
import re
from pathlib import Path

from msgspec import Struct

from outrider_sidecar.journal.position import read_position
from outrider_sidecar.journal.sealed import ShelvedBatch, find_batches

_SEGMENT = re.compile(r"(\d{16})(?:\.from-([0-9a-f]{32}))?\.segment")

ENROLMENT_NAME = "enrolment"

_AGENT = re.compile(r"[0-9a-f]{32}")


class WaitingSegment(Struct, frozen=True):
    """A segment that nobody writes to any more. `recovered_from` is empty for records of this agent's own."""

    sequence: int
    path: Path
    size_bytes: int = 0
    recovered_from: str = ""


def segment_name(sequence: int, recovered_from: str = "") -> str:
    """The file name of a segment."""
    return f"{sequence:016d}.from-{recovered_from}.segment" if recovered_from else f"{sequence:016d}.segment"


def predecessors(root: Path, own: Path) -> list[Path]:
    """The directories of other agents in this journal, the longest unchanged first."""
    found = [path for path in root.iterdir() if _AGENT.fullmatch(path.name) and path != own and path.is_dir()]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def sealed_by(directories: list[Path]) -> list[ShelvedBatch]:
    """The sealed batches in these directories, in order."""
    return [batch for directory in directories for batch in find_batches(directory)]


def adopt_segments(own: Path, others: list[Path], sequence: int) -> list[WaitingSegment]:
    """Number all unsealed records from `sequence` on, in `own`: its own leftovers first, then the predecessors'."""
    waiting: list[WaitingSegment] = []
    for directory in (own, *others):
        agent = "" if directory == own else directory.name
        for path, origin in _unsealed(directory):
            number = sequence + len(waiting)
            target = own / segment_name(number, origin or agent)
            path.rename(target)
            waiting.append(WaitingSegment(number, target, target.stat().st_size, origin or agent))
    return waiting


def sweep(directory: Path) -> None:
    """Remove an agent's directory when nothing but its position and its enrolment is left in it."""
    with contextlib.suppress(OSError):
        names = os.listdir(directory)
        if all(name == ENROLMENT_NAME or name.startswith("position-") for name in names):
            for name in names:
                (directory / name).unlink(missing_ok=True)
            directory.rmdir()


def _unsealed(directory: Path) -> list[tuple[Path, str]]:
    """Segments that hold something and that no batch was made of; the rest are removed."""
    sealed_below = read_position(directory).sequence
    kept: list[tuple[Path, str]] = []
    for path in sorted(directory.iterdir()):
        match = _SEGMENT.fullmatch(path.name)
        if match and int(match[1]) >= sealed_below and path.stat().st_size:
            kept.append((path, match[2] or ""))
        elif match or path.suffix == ".tmp":
            path.unlink(missing_ok=True)
    return kept
