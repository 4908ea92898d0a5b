"""SQL, HTML and worse in every string: kept and given back as data; and no memory lost on the way."""

import os
from pathlib import Path

import pytest
from api_stand import Stand, Teller, make_container, make_finding, make_process, standing

from outrider_wire.findings import TaskView

TEXTS = (
    "'; DROP TABLE findings; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}%s%n",
    "\u202e\u0000\r\nSet-Cookie: x=y",
    "%' ESCAPE '\\' _%",
    "😀" * 40,
    "\\u0000\\",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_finding_says_what_it_said(stand: Stand, text: str) -> None:
    """In every field, asked for by every filter that can hold it."""
    arn = f"arn:aws:ecs:eu-west-1:111122223333:task/prod/{TEXTS.index(text)}"
    one = Teller(stand, task=TaskView(arn=arn, cluster=text, family=text, revision=text))
    assert one.enrol().status == 200
    hostile = make_finding(
        text, type=text, rule=text, description=text, remedy=text, tags=[text], evidence={text: text, "l": [text]},
        process=make_process(text), container=make_container(text),
    )  # fmt: skip
    assert one.tell(hostile).status == 200
    found = stand.find(text)
    latest = found["latest"]
    assert (latest["evidence"], latest["process"]["cmdline"], latest["task"]["family"]) == (
        {text: text, "l": [text]},
        text,
        text,
    )
    if "\0" not in text:
        for name in ("type", "rule", "container", "process", "executable", "family"):
            asked = stand.ask("GET", f"/v1/findings?{name}={quoted(text)}").json
            assert [each["id"] for each in asked["findings"]] == [found["id"]], name
    assert stand.ask("GET", f"/v1/findings?text={quoted(text.replace(chr(0), ' '))}").status == 200


@pytest.mark.parametrize("text", TEXTS)
def test_what_people_write_is_data(stand: Stand, teller: Teller, text: str) -> None:
    """Notes, reasons, assignees, names of tokens, suppression rules; back as JSON, and in the audit log."""
    teller.tell(make_finding(f"written {TEXTS.index(text)}"))
    name = stand.find(f"written {TEXTS.index(text)}")["id"]
    kept = text.replace("\0", "\ufffd")
    assert stand.ask("POST", f"/v1/findings/{name}/notes", {"said": text}).json["said"] == kept
    assert stand.ask("POST", "/v1/triage/archive", {"ids": [name], "why": text}).status == 200
    (log,) = stand.ask("GET", f"/v1/audit?subject={name}&action=finding.archive").json["changes"]
    assert log["detail"]["why"] == text
    if "\0" not in text:
        assert stand.ask("POST", "/v1/triage/assign", {"ids": [name], "to": text}).status == 200
        (mine,) = stand.ask("GET", f"/v1/findings?assignee={quoted(text)}").json["findings"]
        assert mine["id"] == name
        assert stand.ask("POST", "/v1/tokens", {"kind": "read", "name": text}).json["kept"]["name"] == text
    condition = {"field": "title", "operator": "=", "value": text}
    made = stand.ask("POST", "/v1/suppressions", {"conditions": [condition], "why": text}).json
    assert (made["conditions"], made["why"]) == ([condition], kept)
    assert stand.ask("POST", f"/v1/suppressions/{made['number']}/apply").status == 200
    assert stand.ask("DELETE", f"/v1/suppressions/{made['number']}").status == 200


def test_memory_does_not_grow_with_requests(tmp_path: Path) -> None:
    """After the first five hundred of all kinds, good and bad, a thousand more cost no more than noise."""
    with standing(tmp_path) as stand:
        one = Teller(stand)
        assert one.enrol().status == 200
        ask_everything(stand, one, 120)
        before = resident_bytes(stand.process.pid)
        ask_everything(stand, one, 240)
        assert resident_bytes(stand.process.pid) - before < 12 << 20


def ask_everything(stand: Stand, one: Teller, rounds: int) -> None:
    """Four requests a round: a batch, a page, a refusal, and a body that is none."""
    for number in range(rounds):
        assert one.tell(make_finding(f"{one.sequence}", "the same")).status == 200
        assert stand.ask("GET", "/v1/findings?limit=20").status == 200
        assert stand.ask("GET", f"/v1/findings?limit={number + 2000}").status == 400
        assert stand.ask("POST", "/v1/triage/archive", b"x" * 2000, Content_Type="application/json").status == 400


def resident_bytes(pid: int) -> int:
    """What a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def quoted(text: str) -> str:
    """Percent-encoded whole."""
    return "".join(f"%{byte:02X}" for byte in text.encode())
