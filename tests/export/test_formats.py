"""The other formats: OCSF against its schema, Falco's alert, CEF and RFC 5424 read back by parsers of their grammar."""

import json
import re
from typing import Any

import jsonschema
import pytest
from hostile_findings import QUICK, make_hostile
from hypothesis import given
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchema, OcsfJsonSchemaEmbedded, get_ocsf_schema

from outrider_collector.export.cef import to_cef
from outrider_collector.export.formats import FORMATS
from outrider_collector.export.syslog import host_text, to_syslog
from outrider_collector.lake.classes import DETECTION_FINDING, PROFILES


@pytest.fixture(scope="module")
def ocsf() -> Any:
    """A validator of OCSF 1.3's class 2004 with our profiles."""
    schemas = OcsfJsonSchemaEmbedded(OcsfJsonSchema(get_ocsf_schema("1.3.0")))
    schema = schemas.get_class_schema(DETECTION_FINDING.name, list(PROFILES))
    return jsonschema.Draft202012Validator(schema)


def unescape(text: str) -> str:
    """CEF's escapes, undone."""
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), text)


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Header fields and extension of a line, by the grammar alone."""
    assert "\n" not in line and "\r" not in line
    parts = re.split(r"(?<!\\)((?:\\\\)*)\|", line)
    header = [parts[n] + (parts[n + 1] if n + 1 < len(parts) else "") for n in range(0, 14, 2)]
    extension = line[len("|".join(header)) + 1 :]
    found = re.findall(r"(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\.)*?)(?=(?: [A-Za-z0-9]+=)|$)", extension)
    return [unescape(each) for each in header], {key: unescape(value) for key, value in found}


def read_syslog(message: bytes) -> tuple[int, list[str], dict[str, str], bytes]:
    """Priority, header, parameters and message, by the grammar of RFC 5424."""
    text = message.decode()
    match = re.fullmatch(
        r"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) (-) ([!-~]{1,32}) "
        r'\[outrider@32473((?: [a-z]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] (.*)',
        text,
        re.DOTALL,
    )
    assert match, text[:300]
    said = {key: re.sub(r"\\(.)", r"\1", value) for key, value in re.findall(r' (\w+)="((?:[^"\\\]]|\\.)*)"', match[7])}
    return int(match[1]), [match[n] for n in range(2, 7)], said, match[8].encode()


def test_ocsf_is_the_lakes_and_valid(stored: Any, ocsf: Any) -> None:
    """Class 2004 under the stable id, with the count of all repeats; archiving closes it."""
    record = json.loads(FORMATS["ocsf"](stored()))
    ocsf.validate(record)
    assert record["class_uid"] == 2004 and record["type_uid"] == 200402 and record["count"] == 3
    assert record["finding_info"]["uid"] == stored().id
    assert record["evidences"][0]["process"]["pid"] == 412
    first = json.loads(FORMATS["ocsf"](stored(count=1)))
    closed = json.loads(FORMATS["ocsf"](stored(state="archived")))
    ocsf.validate(first)
    ocsf.validate(closed)
    assert (first["activity_id"], closed["activity_id"], closed["status_id"]) == (1, 3, 4)


@QUICK
@given(data=st.data())
def test_no_text_breaks_a_format(stored: Any, told: Any, ocsf: Any, data: st.DataObject) -> None:
    """Each is what it should be, whatever is written in a finding."""
    found = make_hostile(stored, told, data)
    for name, encode in FORMATS.items():
        line = encode(found)
        assert b"\n" not in line and isinstance(json.loads(line), dict), name
    ocsf.validate(json.loads(FORMATS["ocsf"](found)))
    header, extension = read_cef(to_cef(found))
    assert header[:4] == ["CEF:0", "Outrider", "Outrider", "1"] and header[6] == "9"
    assert extension["externalId"] == found.id
    for form in ("text", "cef", "json"):
        message = to_syslog(found, form=form, facility=13, hostname=found.finding.agent, limit=2048 * 4)
        assert len(message) <= 2048 * 4
        priority, _, said, body = read_syslog(message)
        assert priority == 13 * 8 + 2 and said["id"] == found.id
        if form == "json":
            assert json.loads(body)["id"] == found.id


def test_falco(stored: Any) -> None:
    """What falcosidekick needs is there: the id as a uuid, the task as host, fields that are not empty."""
    alert = json.loads(FORMATS["falco"](stored()))
    assert alert["uuid"] == "00112233-4455-6677-8899-aabbccddeeff"
    assert alert["priority"] == "Critical" and alert["hostname"] == "0123456789abcdef0123456789abcdef"
    assert alert["output_fields"]["outrider.count"] == 3 and alert["rule"] and alert["time"] and alert["source"]


def test_cef_escapes_what_it_must_and_nothing_else(stored: Any) -> None:
    """Bars in the header, equals signs in the extension, backslashes in both; line ends are shown."""
    found = stored(title="a|b=c\\d", description="x=1|y\\z")
    line = to_cef(found)
    assert "|a\\|b=c\\\\d|9|" in line and "msg=x\\=1|y\\\\z " in line
    header, extension = read_cef(line)
    assert header[5] == "a|b=c\\d" and extension["msg"] == "x=1|y\\z"
    assert extension["dst"] == "198.51.100.7" and extension["dpt"] == "4444" and extension["cs3"] == "sh -i"


def test_syslog_text(stored: Any) -> None:
    """A sentence behind a byte order mark, escaped parameters, milliseconds."""
    message = to_syslog(stored(rule='a "b" \\ ]c'), form="text", facility=16, hostname="host one", limit=2048)
    priority, header, said, body = read_syslog(message)
    assert priority == 130 and header == ["2027-01-15T08:01:00.000Z", "hostone", "outrider", "-", "finding"]
    assert said["rule"] == 'a "b" \\ ]c' and said["task"].startswith("arn:aws:ecs:")
    assert body.startswith(b"\xef\xbb\xbfA shell (sh -i)")
    assert host_text("") == "-" and host_text("ü") == "-"


def test_syslog_is_cut_between_characters(stored: Any) -> None:
    """A datagram that is too long ends early, and is still UTF-8; JSON is made smaller and says so."""
    found = stored(description="é" * 5000)
    message = to_syslog(found, form="text", facility=13, hostname="h", limit=2048)
    assert 2046 <= len(message) <= 2048 and message.decode()
    small = to_syslog(found, form="json", facility=13, hostname="h", limit=2048)
    assert json.loads(read_syslog(small)[3])["cut"] is True
