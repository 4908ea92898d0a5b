"""STIX 2.1 bundles: their indicators, as far as their patterns name domains, addresses and files."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from outrider_collector.lists.entries import Entry, Read
from outrider_collector.lists.patterns import read_pattern
from outrider_collector.lists.plain import read_time
from outrider_collector.lists.sources import Source

MAX_OBJECTS = 1_000_000


class _Thing(Struct, frozen=True):
    """An object of a bundle, as much of it as an indicator needs."""

    type: str
    pattern: str = ""
    pattern_type: str = "stix"
    valid_from: str = ""
    valid_until: str = ""
    revoked: bool = False
    indicator_types: list[str] = []
    labels: list[str] = []


class _Bundle(Struct, frozen=True):
    type: str
    objects: Annotated[list[msgspec.Raw], Meta(max_length=MAX_OBJECTS)] = []


def read_stix(data: bytes, source: Source, *, now_s: int) -> Read:
    """The indicators of a bundle. Raises ValueError for what is no bundle at all."""
    try:
        bundle = msgspec.json.decode(data, type=_Bundle)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no STIX bundle: {error}"[:200]) from error
    if bundle.type != "bundle":
        raise ValueError("no STIX bundle")
    found = Read()
    decoder = msgspec.json.Decoder(_Thing)
    for raw in bundle.objects:
        try:
            thing = decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            found.skip("an object that is not well formed", str(error))
            continue
        if thing.type == "indicator":
            _take_indicator(found, thing, source, now_s)
    return found


def _take_indicator(found: Read, thing: _Thing, source: Source, now_s: int) -> None:
    try:
        starts_s = read_time(thing.valid_from) if thing.valid_from else 0
        ends_s = read_time(thing.valid_until) if thing.valid_until else 0
        if thing.revoked:
            raise ValueError("revoked")
        if starts_s > now_s:
            raise ValueError("not valid yet")
        if thing.pattern_type != "stix":
            raise ValueError("a pattern in another language")
        listed = read_pattern(thing.pattern)
    except (ValueError, OverflowError) as error:
        found.skip(str(error)[:80], thing.pattern)
        return
    words = (*thing.indicator_types, *thing.labels)
    category = next((source.categories[word] for word in words if word in source.categories), "")
    for kind, value in listed:
        found.add(Entry(kind, value, category, ends_s))
