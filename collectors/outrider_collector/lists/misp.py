"""The feed form of MISP: a manifest that names events by UUID, and each event as a file beside it.

Events that did not change since they were read last, as the manifest says, are not fetched again.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from outrider_collector.lists.entries import Entry, Read
from outrider_collector.lists.sources import Source

MAX_EVENTS: Final = 5_000
"""Most events of one feed that are read, the newest."""

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPES: Final = {
    **dict.fromkeys(("domain", "hostname", "url"), (0,)),
    **dict.fromkeys(("ip-src", "ip-dst", "ip-src|port", "ip-dst|port", "hostname|port", "domain|port"), (0,)),
    "domain|ip": (0, 1),
    **dict.fromkeys(("md5", "sha1", "sha256"), (0,)),
    **dict.fromkeys(("filename|md5", "filename|sha1", "filename|sha256"), (1,)),
}
"""Types of attributes, and which of their parts (parted by `|`) are listed."""


class _Tag(Struct, frozen=True):
    name: str = ""


class _Attribute(Struct, frozen=True):
    type: str = ""
    value: str = ""
    to_ids: bool = False
    deleted: bool = False
    tags: list[_Tag] = msgspec.field(name="Tag", default_factory=list)


class _Object(Struct, frozen=True):
    attributes: list[_Attribute] = msgspec.field(name="Attribute", default_factory=list)
    deleted: bool = False


class _Event(Struct, frozen=True):
    attributes: list[_Attribute] = msgspec.field(name="Attribute", default_factory=list)
    objects: list[_Object] = msgspec.field(name="Object", default_factory=list)
    tags: list[_Tag] = msgspec.field(name="Tag", default_factory=list)


class _EventFile(Struct, frozen=True):
    event: _Event = msgspec.field(name="Event")


class _Manifested(Struct, frozen=True):
    timestamp: str | int = 0


Known = dict[str, tuple[int, Read]]
"""Events that were read before: their time in the manifest, and what they list."""


def read_misp(manifest: bytes, source: Source, fetch: Callable[[str], bytes], known: Known) -> Read:
    """All that the events of a feed list; `fetch` reads a file of it by name.

    Raises ValueError for a manifest that is none. An event that cannot be had (OSError, ValueError) is counted.
    """
    found = Read()
    wanted = _newest(_read_manifest(manifest), found)
    for uuid in known.keys() - wanted.keys():
        del known[uuid]
    for uuid, at_s in wanted.items():
        if uuid not in known or known[uuid][0] != at_s:
            try:
                known[uuid] = (at_s, _read_event(fetch(f"{uuid}.json"), source))
            except (OSError, ValueError, RecursionError) as error:
                found.skip("an event that could not be read", f"{uuid}: {error}")
                continue
        _merge(found, known[uuid][1])
    return found


def _read_manifest(data: bytes) -> dict[str, int]:
    try:
        listed = msgspec.json.decode(data, type=dict[str, _Manifested], strict=False)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no manifest of a MISP feed: {error}"[:200]) from error
    return {uuid: _seconds(said.timestamp) for uuid, said in listed.items() if _UUID.fullmatch(uuid)}


def _seconds(timestamp: str | int) -> int:
    text = str(timestamp)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else 0


def _newest(manifest: dict[str, int], found: Read) -> dict[str, int]:
    newest = sorted(manifest.items(), key=lambda item: (-item[1], item[0]))
    for uuid, _ in newest[MAX_EVENTS:]:
        found.skip(f"more than {MAX_EVENTS} events", uuid)
    return dict(newest[:MAX_EVENTS])


def _read_event(data: bytes, source: Source) -> Read:
    event = msgspec.json.decode(data, type=_EventFile, strict=False).event
    found = Read()
    of_event = _category(event.tags, source)
    for attribute in _attributes(event):
        parts = _TYPES.get(attribute.type)
        if parts is None:
            found.skip(f"an attribute of type {attribute.type[:32]}", attribute.value)
        elif not attribute.to_ids:
            found.skip("an attribute that is not for detection", attribute.value)
        else:
            values = attribute.value.split("|")
            category = _category(attribute.tags, source) or of_event
            for number in parts:
                found.take(values[number] if number < len(values) else "", category=category)
    return found


def _attributes(event: _Event) -> Iterator[_Attribute]:
    for attribute in event.attributes:
        if not attribute.deleted:
            yield attribute
    for each in event.objects:
        if not each.deleted:
            yield from (attribute for attribute in each.attributes if not attribute.deleted)


def _category(tags: list[_Tag], source: Source) -> str:
    return next((source.categories[tag.name] for tag in tags if tag.name in source.categories), "")


def _merge(found: Read, more: Read) -> None:
    for entry in more.entries:
        found.add(Entry(entry.kind, entry.value, entry.category, entry.expires_at_s))
    found.skipped.update(more.skipped)
    for why, example in more.examples.items():
        found.examples.setdefault(why, example)
