"""Findings over HTTP: filtered, paged, triaged, suppressed, with every change in the audit log."""

from typing import Any

import pytest
from api_stand import Stand, Teller, make_container, make_finding, make_process

from outrider_wire.findings import TaskView

ARN = "arn:aws:ecs:eu-west-1:111122223333:task/prod/{}"


def audit(stand: Stand, subject: str) -> list[dict[str, Any]]:
    """What was done to it, the latest first."""
    changes: list[dict[str, Any]] = stand.ask("GET", f"/v1/audit?subject={subject}").json["changes"]
    return changes


def test_filters_find_what_they_say(stand: Stand) -> None:
    """One finding that differs in everything is found by each filter alone, and by no wrong value."""
    task = TaskView(arn=ARN.format("one"), cluster="prod", family="web", revision="3")
    one = Teller(stand, task=task)
    assert one.enrol().status == 200
    odd = make_finding(
        "odd", type="Persistence:Runtime/Odd", rule="odd_rule", severity="HIGH", at="2026-02-03T04:05:06Z",
        process=make_process("/opt/odd"), container=make_container("oddity"), description="peculiar words here",
    )  # fmt: skip
    one.tell(odd, make_finding("plain"))
    stand.find("odd")
    for query in (
        "severity=HIGH", "severity=HIGH&severity=MEDIUM", "type=Persistence:", "rule=odd_rule", "container=oddity",
        "image=oddity", "executable=/opt/odd", "process=/opt/odd", "text=pecul*+WORDS",
        "since=2026-02-01T00:00:00Z&rule=odd_rule", "until=2026-03-01T00:00:00%2B01:00&rule=odd_rule",
        "state=new&rule=odd_rule", "account=111122223333&rule=odd_rule", "region=eu-west-1&rule=odd_rule",
        "cluster=prod&family=web&rule=odd_rule", f"task={task.arn}&rule=odd_rule", "sort=severity&rule=odd_rule",
    ):  # fmt: skip
        found = stand.ask("GET", f"/v1/findings?{query}", role="read").json["findings"]
        assert [each["title"] for each in found] == ["odd"], query
    for query in ("rule=ODD_RULE", "container=odd", "state=archived&rule=odd_rule", "assignee=ann", "text=unsaid"):
        assert stand.ask("GET", f"/v1/findings?{query}").json["findings"] == [], query


def test_pages_go_on_where_they_ended(stand: Stand, teller: Teller) -> None:
    """Each finding once, in order, until `next` is empty; also one by one as they were told."""
    teller.tell(*(make_finding(f"page-{n}", type="Paged:Runtime/X", at=f"2026-01-01T00:00:{n:02}Z") for n in range(7)))
    stand.find("page-6")
    seen: list[str] = []
    cursor = ""
    while True:
        page = stand.ask("GET", f"/v1/findings?type=Paged:&limit=3&cursor={cursor}").json
        seen += [each["title"] for each in page["findings"]]
        if not (cursor := page["next"]):
            break
    assert seen == [f"page-{n}" for n in reversed(range(7))]
    first = stand.ask("GET", "/v1/occurrences?type=Paged:&limit=3&after=AA").json
    second = stand.ask("GET", f"/v1/occurrences?type=Paged:&limit=9&after={first['cursor']}").json
    assert [each["id"] for each in first["findings"] + second["findings"]] == [f"page-{n}" for n in range(7)]


def test_repeats_are_one_finding_with_all_its_occurrences(stand: Stand, teller: Teller) -> None:
    """Count, first and last seen, and each of them in pages."""
    teller.tell(*(make_finding(f"again-{n}", "again", at=f"2026-01-01T00:00:{n:02}Z") for n in range(5)))
    found = stand.find("again")
    assert (found["count"], found["first_seen"][17:19], found["last_seen"][17:19]) == (5, "00", "04")
    detail = stand.ask("GET", f"/v1/findings/{found['id']}").json
    assert [each["finding"]["id"] for each in detail["occurrences"]] == [f"again-{n}" for n in reversed(range(5))]
    path = f"/v1/findings/{found['id']}/occurrences?limit=2"
    first = stand.ask("GET", path).json
    rest = stand.ask("GET", f"{path}00&cursor={first['next']}").json
    told = [each["finding"]["id"] for each in first["occurrences"] + rest["occurrences"]]
    assert told == [f"again-{n}" for n in reversed(range(5))] and rest["next"] == ""


def test_triage_changes_and_is_written_down(stand: Stand, teller: Teller) -> None:
    """Archived, assigned, written on, opened again: each shows at once, and in the audit log with before and after."""
    teller.tell(make_finding("triaged"))
    name = stand.find("triaged")["id"]
    nobody = "f" * 32
    done = stand.ask("POST", "/v1/triage/archive", {"ids": [name, nobody], "why": "known"}, role="triage")
    assert (done.status, done.json) == (200, {"changed": [name]})
    assert stand.ask("POST", "/v1/triage/archive", {"ids": [name]}, role="triage").json == {"changed": []}
    assert stand.ask("POST", "/v1/triage/assign", {"ids": [name], "to": "ann"}, role="triage").json["changed"] == [name]
    note = stand.ask("POST", f"/v1/findings/{name}/notes", {"said": "seen <b>this</b>"}, role="triage")
    assert (note.status, note.json["said"]) == (201, "seen <b>this</b>")
    detail = stand.ask("GET", f"/v1/findings/{name}", role="read").json
    assert (detail["finding"]["state"], detail["finding"]["assignee"]) == ("archived", "ann")
    assert [(each["who"], each["said"]) for each in detail["notes"]] == [(note.json["who"], "seen <b>this</b>")]
    assert stand.ask("POST", "/v1/triage/reopen", {"ids": [name]}, role="triage").json["changed"] == [name]
    log = audit(stand, name)
    assert [each["action"] for each in log] == ["finding.reopen", "finding.note", "finding.assign", "finding.archive"]
    assert all(each["who"].startswith("for triage (") for each in log)
    archived, assigned = log[3], log[2]
    assert (archived["before"]["state"], archived["after"]["state"]) == ("new", "archived")
    assert archived["detail"] == {"why": "known"}
    assert (assigned["before"]["assignee"], assigned["after"]["assignee"]) == ("", "ann")


def test_a_refused_change_is_not_written_down(stand: Stand, teller: Teller) -> None:
    """Neither by who may not, nor of what is not there."""
    teller.tell(make_finding("untouched"))
    name = stand.find("untouched")["id"]
    assert stand.ask("POST", "/v1/triage/archive", {"ids": [name]}, role="read").status == 403
    assert stand.ask("POST", f"/v1/findings/{'0' * 32}/notes", {"said": "x"}, role="triage").status == 404
    assert audit(stand, name) == audit(stand, "0" * 32) == []
    assert stand.find("untouched")["state"] == "new"


def test_suppression_rules_hold_and_are_taken_away(stand: Stand, teller: Teller) -> None:
    """Made with who and why, applied to what is there and what comes, removed, and what it took given back."""
    teller.tell(make_finding("noise-1", process=make_process("/usr/bin/noise")))
    stand.find("noise-1")
    condition = {"field": "executable", "operator": "startswith", "value": "/usr/bin/noi"}
    rule = stand.ask("POST", "/v1/suppressions", {"conditions": [condition], "why": "a known cron job"}, role="triage")
    number = rule.json["number"]
    assert (rule.status, rule.json["conditions"]) == (201, [condition])
    assert stand.find("noise-1")["state"] == "new"
    assert stand.ask("POST", f"/v1/suppressions/{number}/apply", role="triage").json == {"findings": 1}
    assert stand.find("noise-1")["suppressed_by"] == number
    teller.tell(make_finding("noise-2", process=make_process("/usr/bin/noise")))
    assert stand.find("noise-2")["state"] == "suppressed"
    removed = stand.ask("DELETE", f"/v1/suppressions/{number}", role="triage").json
    assert removed["removed_at"] and stand.ask("GET", f"/v1/suppressions/{number}").json == removed
    assert stand.ask("POST", f"/v1/suppressions/{number}/release", role="triage").json == {"findings": 2}
    assert stand.find("noise-1")["state"] == "new"
    assert [each["action"] for each in audit(stand, str(number))] == [
        "suppression.release", "suppression.remove", "suppression.apply", "suppression.add",
    ]  # fmt: skip
    assert number not in [each["number"] for each in stand.ask("GET", "/v1/suppressions").json["suppressions"]]


@pytest.mark.parametrize(
    "body",
    [
        {"conditions": [], "why": "x"},
        {"conditions": [{"field": "nothing", "operator": "=", "value": "x"}], "why": "x"},
        {"conditions": [{"field": "rule", "operator": "in", "value": "x"}], "why": "x"},
        {"conditions": [{"field": "rule", "operator": "=", "value": ["x"]}], "why": "x"},
        {"conditions": [{"field": "rule", "operator": "like", "value": "x"}], "why": "x"},
        {"conditions": [{"field": "rule", "operator": "=", "value": "x"}], "why": ""},
        {"conditions": [{"field": "rule", "operator": "=", "value": "x"}], "why": "x",
         "expires_at": "2001-01-01T00:00:00Z"},
        {"conditions": [{"field": "rule", "operator": "=", "value": "x"}] * 17, "why": "x"},
    ],
)  # fmt: skip
def test_wrong_rules_are_refused(stand: Stand, body: Any) -> None:
    """400, and nothing is made."""
    assert (refused := stand.ask("POST", "/v1/suppressions", body, role="triage")).status == 400, refused.body


def test_agents_and_coverage(stand: Stand) -> None:
    """Who guards what, what it sees and lost, in pages, by standing, one alone, and all together."""
    task = TaskView(arn=ARN.format("guarded"), family="web")
    many = [Teller(stand, task=task), Teller(stand), Teller(stand)]
    for each in many:
        assert each.enrol().status == 200 and each.tell().status == 200
    path = f"/v1/agents?task={ARN.format('guarded')}"
    guarded = stand.wait_for(path, lambda said: said["agents"] and said["agents"][0]["batches"])["agents"]
    assert [each["agent"] for each in guarded] == [many[0].key.agent]
    assert (guarded[0]["proofs"], guarded[0]["facts"]["lost"], guarded[0]["silent"]) == ("token", {"pipe": 2}, False)
    assert stand.ask("GET", f"/v1/agents/{many[0].key.agent}").json == guarded[0]
    names: list[str] = []
    cursor = ""
    while cursor or not names:
        page = stand.ask("GET", f"/v1/agents?limit=2&standing=live&cursor={cursor}").json
        names += [each["agent"] for each in page["agents"]]
        cursor = page["next"]
    assert {each.key.agent for each in many} <= set(names) and len(names) == len(set(names))
    coverage = stand.ask("GET", "/v1/coverage", role="read").json
    assert coverage["agents"]["live"] >= 3 and coverage["tasks"] >= 1 and coverage["lost"]["pipe"] >= 6
    files = next(each for each in coverage["senses"] if each["sense"] == "files")
    assert files["blind"] >= 3 and "no CAP_SYS_ADMIN" in files["reasons"]


def test_a_contested_key_is_settled_by_an_admin(stand: Stand) -> None:
    """The second key for a task is quarantined; adopted, it is the live one, the first is not, and that is written."""
    task = TaskView(arn=ARN.format("contested"))
    first, second = Teller(stand, task=task), Teller(stand, task=task)
    assert (first.enrol().status, second.enrol().code) == (200, "second-enrolment")
    path = f"/v1/agents?contested=true&task={ARN.format('contested')}"
    assert [each["agent"] for each in stand.ask("GET", path).json["agents"]] == [first.key.agent]
    assert second.tell().code == "quarantined"
    adopted = stand.ask("POST", f"/v1/agents/{second.key.agent}/adopt")
    assert (adopted.status, adopted.json["status"]) == (200, "live")
    assert (first.tell().code, second.tell().status) == ("quarantined", 200)
    (entry,) = audit(stand, second.key.agent)
    assert (entry["action"], entry["before"]["status"]) == ("agent.adopt", "quarantined")
    assert stand.ask("POST", f"/v1/agents/{'0' * 32}/adopt").status == 404
