"""Steps of a transcript to events: the shape of the wire, with defaults, so that a step is one short line.

    ProcessExecuted: {process: 7, parent: 1, exe: /bin/sh, argv: sh -i}
    ConnectionOpened: {owner: 7, destination: 203.0.113.5, destination_port: 4444}
    FileChanged: {file: {path: /etc/crontab, changed: 50}, change: written, actor: 7}

Every event of `outrider_wire.events` may be named, with its own keys. A process is its pid. A file is its path, an
old one of the image, or a mapping whose `changed` and `modified` are ms after the container's creation. `at` is ms
after it too; left out, each event is 100 ms after the one before. `argv` may be one text, cut as a shell cuts it.
"""

import posixpath
import re
import shlex
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from outrider_rules.document import Mapping, Node, Scalar
from outrider_rules.nodes import Problems, note
from outrider_rules.problems import nearest, shown
from outrider_wire import events
from outrider_wire.events import Event, FileFacts, ProcessId

BORN_NS: Final = 1_000_000_000_000
"""When the container of every transcript was created."""
MNT_NS: Final = 7
MS: Final = 1_000_000
STEP_MS: Final = 100.0
OLD_MS: Final = -1_000_000.0
"""When files of the image were changed."""

KINDS: Final[dict[str, type[Struct]]] = {kind.__name__: kind for kind in typing.get_args(Event)}

_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,9})?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


class Clock:
    """Where a transcript is in time, in ms after the container's creation."""

    def __init__(self) -> None:
        self.at_ms = 0.0

    def next(self, given: object) -> int:
        """The time of the next event, in ns since the epoch."""
        self.at_ms = float(given) if isinstance(given, int | float) else self.at_ms + STEP_MS
        return BORN_NS + int(self.at_ms * MS)


def plain(node: Node) -> Any:
    """A node as numbers, texts, lists and dicts: unquoted words mean what they do in JSON's part of YAML."""
    if isinstance(node, Scalar):
        if node.style:
            return node.value
        number = _NUMBER.fullmatch(node.value)
        if number is not None:
            return float(node.value) if number[1] else int(node.value)
        return _WORDS.get(node.value, node.value)
    if isinstance(node, Mapping):
        return {str(plain(key)): plain(value) for key, value in node.pairs}
    return [plain(item) for item in node.items]


def read_event(name: Scalar, node: Node, clock: Clock, problems: Problems) -> Event | None:
    """The event that a step names, or None and a problem noted at its place."""
    kind = KINDS.get(name.value)
    if kind is None:
        known = "known events: " + ", ".join(KINDS)
        note(problems, name, f"there is no event `{shown(name.value)}`", nearest(name.value, KINDS) or known)
        return None
    if not isinstance(node, Mapping):
        note(problems, node, f"`{name.value}` must have a mapping of its keys", "such as {process: 7}")
        return None
    keys = {*kind.__struct_fields__, "at"} - {"at_ns"}
    for key, _ in node.pairs:
        text = key.value if isinstance(key, Scalar) else ""
        if text not in keys:
            hint = nearest(text, keys) or "known keys: " + ", ".join(sorted(keys))
            note(problems, key, f"`{name.value}` has no key `{shown(text)}`", hint)
            return None
    try:
        values = _completed(kind, plain(node), clock)
        event: Event = msgspec.convert(values, Event)
    except ValueError as error:
        note(problems, _blamed(node, str(error)), f"`{name.value}`: {error}")
        return None
    return event


def _blamed(node: Mapping, message: str) -> Node:
    """The key that a message of msgspec is about (`… - at `$.exe.ino``), else the whole."""
    match = re.search(r"\$\.([a-z_]+)", message)
    for key, value in node.pairs if match else ():
        if isinstance(key, Scalar) and match is not None and key.value == match[1]:
            return value
    return node


def _completed(kind: type[Struct], values: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """The values with their short forms written out and the defaults of a transcript."""
    hints = typing.get_type_hints(kind)
    done: dict[str, Any] = {"event": kind.__name__, "at_ns": clock.next(values.pop("at", None))}
    if "mnt_ns" in hints:
        done["mnt_ns"] = MNT_NS
    for key, value in values.items():
        done[key] = _expanded(hints[key], value)
    complete = _DEFAULTS.get(kind)
    return complete(done) if complete is not None else done


def _expanded(hint: Any, value: Any) -> Any:
    """A short form as what it stands for, by the type of its key."""
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if ProcessId in parts and isinstance(value, int):
        return [value, value]
    if FileFacts in parts and value is not None:
        return _file(value)
    if typing.get_origin(hint) is tuple and FileFacts in typing.get_args(hint) and isinstance(value, list):
        return [_file(item) for item in value]
    return value


def _file(given: Any) -> dict[str, Any]:
    values = {"path": given} if not isinstance(given, dict) else dict(given)
    unknown = set(values) - {*FileFacts.__struct_fields__, "changed", "modified"}
    if unknown:
        raise ValueError(f"a file has no key `{min(unknown)}`")
    changed_ms = values.pop("changed", OLD_MS)
    modified_ms = values.pop("modified", changed_ms)
    if not isinstance(changed_ms, int | float) or not isinstance(modified_ms, int | float):
        raise ValueError("`changed` and `modified` are ms after the container's creation")
    times = {"ctime_ns": BORN_NS + int(changed_ms * MS), "mtime_ns": BORN_NS + int(modified_ms * MS)}
    path = str(values.get("path", ""))
    return {"dev": 1, "ino": 1 + sum(path.encode()) * len(path), "mode": 0o100755, "size": 9, **times, **values}


def _executed(values: dict[str, Any]) -> dict[str, Any]:
    exe = values.get("exe")
    path = str(exe.get("path", "")) if isinstance(exe, dict) else ""
    argv = values.get("argv", [path])
    values["argv"] = shlex.split(argv) if isinstance(argv, str) else argv
    return {"comm": posixpath.basename(path)[:15], "uid": 0, "euid": 0, "gid": 0, "egid": 0, **values}


def _connected(values: dict[str, Any]) -> dict[str, Any]:
    ours, theirs = ("10.0.0.5", 40_000), ("10.0.0.9", 50_000)
    inbound = values.get("direction") == "inbound"
    source, destination = (theirs, (ours[0], 8080)) if inbound else (ours, (theirs[0], 443))
    defaults = {"source": source[0], "source_port": source[1], "direction": "outbound", "attribution": "exact"}
    return {**defaults, "destination": destination[0], "destination_port": destination[1], **values}


def _owned(values: dict[str, Any]) -> dict[str, Any]:
    return {"record_type": "A", "attribution": "exact" if "owner" in values else "unknown", **values}


def _changed(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "change": "written",
        "kind": "other",
        "attribution": "inferred" if "actor" in values else "unknown",
    } | values


_DEFAULTS: Final[dict[type[Struct], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    events.ProcessExecuted: _executed,
    events.ConnectionOpened: _connected,
    events.NameQueried: _owned,
    events.FileChanged: _changed,
}
