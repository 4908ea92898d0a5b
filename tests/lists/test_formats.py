"""The four forms: what each says is taken, what makes no sense is counted, and what is none of it is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_collector.lists.entries import Entry
from outrider_collector.lists.misp import Known, read_misp
from outrider_collector.lists.plain import read_csv, read_plain, read_time
from outrider_collector.lists.sources import Source
from outrider_collector.lists.stix import read_stix

NOW_S = 1_800_000_000
PLAIN = Source(name="plain", place="/x")
CSV = Source(
    name="csv", place="/x", format="csv", column="host", category_column="kind", expires_column="until",
    categories={"botnet": "c2"},
)  # fmt: skip
STIX = Source(name="stix", place="/x", format="stix", categories={"anonymization": "tor"})
MISP = Source(name="misp", place="/x", format="misp", categories={"osint:miner": "mining"})
UUID = "5a1b2c3d-0000-4000-8000-000000000001"
OTHER = "5a1b2c3d-0000-4000-8000-000000000002"


def values(entries: list[Entry]) -> list[str]:
    return [entry.value for entry in entries]


def test_a_plain_list_has_comments_and_hosts_lines():
    """Comments of four kinds, blank lines, what follows a blank, and the form of a hosts file."""
    text = b"# a list\n\nevil.example  # c2\n; no\n// no\n! no\n0.0.0.0 ads.example\n198.51.100.0/24 text\nnonsense\n"
    found = read_plain(text, PLAIN)
    assert values(found.entries) == ["evil.example", "ads.example", "198.51.100.0/24"]
    assert dict(found.skipped) == {"no domain": 1}
    assert found.examples == {"no domain": "nonsense"}


def test_a_csv_has_a_header_category_and_expiry():
    """Columns are found by name, in a header that may be commented out; cells say category and expiry."""
    text = (
        b"# made by a feed\n# host, kind ,until\n"
        b'"evil.example",botnet,2030-01-01T00:00:00Z\n192.0.2.1,other,\n"",botnet,\nx.example,botnet,soon\n# end\n'
    )
    found = read_csv(text, CSV)
    assert found.entries == [
        Entry("domain", "evil.example", "c2", read_time("2030-01-01T00:00:00Z")),
        Entry("network", "192.0.2.1/32", "", 0),
    ]
    assert dict(found.skipped) == {"an empty cell": 1, "no time of expiry": 1}


def test_a_csv_without_its_header_is_refused():
    """Guessing which column was meant could list the victims."""
    with pytest.raises(ValueError, match="no header with host, kind, until"):
        read_csv(b"a,b\n1,2\n", CSV)


def bundle(*objects: dict[str, Any]) -> bytes:
    return json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)}).encode()


def indicator(pattern: str, **more: object) -> dict[str, Any]:
    return {
        "type": "indicator",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": "2020-01-01T00:00:00Z",
        **more,
    }


def test_a_stix_bundle_lists_its_indicators():
    """Validity, revocation, types and labels are heeded; other objects are none of ours."""
    data = bundle(
        {"type": "identity", "name": "x"},
        indicator("[domain-name:value = 'evil.example']", valid_until="2030-01-01T00:00:00.5Z"),
        indicator("[ipv4-addr:value = '192.0.2.1']", indicator_types=["anonymization"]),
        indicator("[domain-name:value = 'old.example']", revoked=True),
        indicator("[domain-name:value = 'soon.example']", valid_from="2035-01-01T00:00:00Z"),
        indicator("rule x {}", pattern_type="yara"),
        indicator("[process:name = 'x']"),
        {"type": "indicator", "pattern": 7},
    )
    found = read_stix(data, STIX, now_s=1_600_000_000)
    assert found.entries == [
        Entry("domain", "evil.example", "", read_time("2030-01-01T00:00:00Z")),
        Entry("network", "192.0.2.1/32", "tor", 0),
    ]
    assert sum(found.skipped.values()) == 5


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"type": "report"}', b"\xff", b"[" * 100_000, b'{"type":"bundle","objects":1}']
)
def test_what_is_no_bundle_is_refused(data):
    """The source then stays as it was."""
    with pytest.raises(ValueError, match="no STIX bundle"):
        read_stix(data, STIX, now_s=NOW_S)


def event(
    *attributes: dict[str, Any], objects: list[dict[str, Any]] | None = None, tags: list[str] | None = None
) -> bytes:
    body = {"Attribute": list(attributes), "Object": objects or [], "Tag": [{"name": tag} for tag in tags or []]}
    return json.dumps({"Event": body}).encode()


def attribute(kind: str, value: str, **more: object) -> dict[str, Any]:
    return {"type": kind, "value": value, "to_ids": True, **more}


def test_a_misp_feed_lists_what_is_for_detection():
    """Attributes, those of objects too, of the types that name something; an event is read again when it changed."""
    files = {
        f"{UUID}.json": event(
            attribute("domain", "evil.example"),
            attribute("ip-dst|port", "192.0.2.1|4444"),
            attribute("domain|ip", "b.example|192.0.2.2"),
            attribute("filename|sha256", "a.bin|" + "a" * 64),
            attribute("comment", "text"),
            attribute("domain", "seen.example", to_ids=False),
            attribute("domain", "gone.example", deleted=True),
            attribute("filename|md5", "broken"),
            objects=[{"Attribute": [attribute("md5", "b" * 32)]}],
            tags=["osint:miner"],
        ),
        f"{OTHER}.json": event(attribute("hostname", "c.example")),
    }
    asked: list[str] = []

    def fetch(name: str) -> bytes:
        asked.append(name)
        return files[name]

    known: Known = {}
    manifest = {UUID: {"timestamp": "1700000000"}, OTHER: {"timestamp": 1700000001}, "../../etc/passwd": {}}
    found = read_misp(json.dumps(manifest).encode(), MISP, fetch, known)
    named = {"evil.example", "192.0.2.1/32", "b.example", "192.0.2.2/32", "a" * 64, "b" * 32, "c.example"}
    assert set(values(found.entries)) == named
    assert {entry.category for entry in found.entries} == {"mining", ""}
    assert sum(found.skipped.values()) == 3
    assert sorted(asked) == sorted(files)
    manifest[OTHER]["timestamp"] = 1700000002
    asked.clear()
    read_misp(json.dumps(manifest).encode(), MISP, fetch, known)
    assert asked == [f"{OTHER}.json"]
    del manifest[UUID]
    assert values(read_misp(json.dumps(manifest).encode(), MISP, fetch, known).entries) == ["c.example"]


def test_a_misp_event_that_cannot_be_had_costs_itself():
    """The rest of the feed is read."""

    def fetch(name: str) -> bytes:
        if name == f"{UUID}.json":
            raise OSError("gone")
        return event(attribute("domain", "c.example"))

    found = read_misp(json.dumps({UUID: {}, OTHER: {}}).encode(), MISP, fetch, {})
    assert values(found.entries) == ["c.example"]
    assert dict(found.skipped) == {"an event that could not be read": 1}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_value_error(data):
    """There is no third way, in any form."""
    for read in (
        lambda: read_plain(data, PLAIN),
        lambda: read_csv(data, CSV),
        lambda: read_csv(b"host,kind,until\n" + data, CSV),
        lambda: read_stix(data, STIX, now_s=NOW_S),
        lambda: read_misp(data, MISP, lambda _: data, {}),
        lambda: read_misp(b'{"%s": {}}' % UUID.encode(), MISP, lambda _: data, {}),
    ):
        try:
            read()
        except ValueError:
            pass
