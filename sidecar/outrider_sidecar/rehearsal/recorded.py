"""Events of the past: out of a sidecar's journal, or of batches that were kept. No key is needed, and none is asked.

The signature of a batch is not checked here, only the digests of what it holds: this is for trying rules on what
was seen, not for proof; the collector is for that. What is not there is said in `missing`.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from outrider_sidecar.journal.records import read_contents
from outrider_wire.batch import MAX_BATCH_BYTES, peek_header
from outrider_wire.blobs import open_blob
from outrider_wire.errors import ConfigError, WireError
from outrider_wire.events import Event

MAX_SEGMENT_BYTES: Final = 64 << 20
_NUMBERED = re.compile(r"(\d{16})(?:\.from-([0-9a-f]{32}))?\.(batch|parked|segment)")

_events_decoder = msgspec.msgpack.Decoder(list[Event])
_event_decoder = msgspec.msgpack.Decoder(Event)


class Recording(Struct):
    """Events in their order, and what is known to be missing between them, as sentences."""

    events: list[Event]
    missing: list[str]


def read_recording(paths: Iterable[str]) -> Recording:
    """All events of journals (directories) and of single batches or segments.

    Raises: ConfigError for a path that is neither, or cannot be read.
    """
    recording = Recording([], [])
    files = [file for path in paths for file in _files(Path(path))]
    last: dict[str, int] = {}
    for file in files:
        _note_gap(file, last, recording)
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
        if file.suffix == ".segment":
            _read_segment(file, raw[:MAX_SEGMENT_BYTES], recording)
        else:
            _read_batch(file, raw, recording)
    recording.events.sort(key=lambda event: event.at_ns)
    return recording


def _files(path: Path) -> Iterator[Path]:
    """The batches and segments below a journal, each agent's in order of number; or the one file that is named."""
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if _NUMBERED.fullmatch(p.name)]
        if not found:
            raise ConfigError(f"{path}: no journal: there is neither a batch nor a segment in it")
        yield from found
    elif path.exists():
        yield path
    else:
        raise ConfigError(f"{path}: there is no such file or directory")


def _note_gap(file: Path, last: dict[str, int], recording: Recording) -> None:
    match = _NUMBERED.fullmatch(file.name)
    if match is None:
        return
    directory, number = str(file.parent), int(match[1])
    expected = last.get(directory, -1) + 1
    if number > expected:
        several = f"{expected} to {number - 1}" if number - 1 > expected else str(expected)
        recording.missing.append(f"{directory}: no batch {several}: the collector has had it, or it was removed")
    last[directory] = number


def _read_segment(file: Path, raw: bytes, recording: Recording) -> None:
    contents = read_contents(raw)
    for payload in contents.events:
        try:
            recording.events.append(_event_decoder.decode(payload))
        except (msgspec.DecodeError, RecursionError) as error:
            recording.missing.append(f"{file}: an event that cannot be read: {error}")
    _note_lost(file, contents.lost, recording)
    if contents.damaged_bytes:
        recording.missing.append(f"{file}: its last {contents.damaged_bytes} bytes are damaged")


def _read_batch(file: Path, raw: bytes, recording: Recording) -> None:
    try:
        if len(raw) > MAX_BATCH_BYTES:
            raise WireError("too-large", f"more than {MAX_BATCH_BYTES} bytes")
        header, _, signed_end = peek_header(raw)
        blob = raw[signed_end + header.findings.size :]
        events = _events_decoder.decode(open_blob(blob, header.events)) if blob else []
    except (WireError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: no batch: {error}") from error
    recording.events += events
    _note_lost(file, header.lost, recording)
    if header.events.count and not blob:
        recording.missing.append(f"{file}: its {header.events.count} events were cut off to save room")
    if header.unguarded_for_ms:
        recording.missing.append(f"{file}: the task ran for {header.unguarded_for_ms} ms before it was guarded")


def _note_lost(file: Path, lost: dict[str, int], recording: Recording) -> None:
    recording.missing += [f"{file}: {count} of {sense} were lost" for sense, count in sorted(lost.items())]
