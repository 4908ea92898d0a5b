"""Who may do what: every route against every role, and tokens that are none."""

from pathlib import Path
from typing import Any

import pytest
from api_stand import ADMIN, BOOTSTRAP, ROLES, Stand, Teller, make_finding, standing

OPEN = {"/healthz", "/readyz", "/v1/openapi.json", "/v1/enrol", "/v1/batches", "/v1/lists/{digest}"}
"""What takes no token: whoever enrols shows one inside, a batch is signed, a list is asked for by its own digest."""

NEEDED = {
    "GET /v1/findings": "read",
    "GET /v1/findings/stream": "read",
    "GET /v1/findings/{id}": "read",
    "GET /v1/findings/{id}/occurrences": "read",
    "GET /v1/occurrences": "read",
    "GET /v1/agents": "read",
    "GET /v1/agents/{agent}": "read",
    "GET /v1/coverage": "read",
    "GET /v1/suppressions": "read",
    "GET /v1/suppressions/{number}": "read",
    "GET /v1/list-entries": "read",
    "GET /metrics": "read",
    "POST /v1/triage/archive": "triage",
    "POST /v1/triage/reopen": "triage",
    "POST /v1/triage/assign": "triage",
    "POST /v1/findings/{id}/notes": "triage",
    "POST /v1/suppressions": "triage",
    "DELETE /v1/suppressions/{number}": "triage",
    "POST /v1/suppressions/{number}/apply": "triage",
    "POST /v1/suppressions/{number}/release": "triage",
    "POST /v1/list-entries": "triage",
    "POST /v1/list-entries/remove": "triage",
    "POST /v1/agents/{agent}/adopt": "admin",
    "GET /v1/tokens": "admin",
    "POST /v1/tokens": "admin",
    "DELETE /v1/tokens/{id}": "admin",
    "GET /v1/audit": "admin",
}

EXPORTS_AND_LISTS = ("/v1/exports", "/v1/lists", "/v1/dead-letters", "/v1/threat-lists")
"""Parts with operations of their own; what they need is looked up in the document."""


def needed(stand: Stand) -> dict[str, str]:
    """The roles that the document gives."""
    document = stand.ask("GET", "/v1/openapi.json", role=None).json
    return {
        f"{method.upper()} {path}": operation["x-role"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "x-role" in operation
    }


def test_the_table_of_roles_is_the_one_meant(stand: Stand) -> None:
    """No route has another role than is written here, and none is open that is not named."""
    found = needed(stand)
    own = {route: role for route, role in found.items() if not route.split()[1].startswith(EXPORTS_AND_LISTS)}
    assert own == NEEDED
    assert all(role in ROLES for role in found.values())
    document = stand.ask("GET", "/v1/openapi.json", role=None).json
    assert {
        path for path, methods in document["paths"].items() for each in methods.values() if "x-role" not in each
    } == OPEN


def test_every_route_refuses_lower_roles(stand: Stand) -> None:
    """And takes its own and higher ones: whatever is wrong with the request then, it is not who asks."""
    for route, role in needed(stand).items():
        method, path = route.split()
        place = path.replace("{id}", "0" * 32).replace("{agent}", "0" * 32).replace("{number}", "999999999")
        place = place.replace("{name}", "none")
        for each in ROLES:
            if path == "/v1/findings/stream" and ROLES.index(each) >= ROLES.index(role):
                continue  # it does not end
            answer = stand.ask(
                method, place, b"" if method == "POST" else None, role=each, Content_Type="application/json"
            )
            if ROLES.index(each) < ROLES.index(role):
                assert (answer.status, answer.code) == (403, "forbidden"), (route, each)
            else:
                assert answer.status in (200, 400, 404, 415), (route, each, answer.body)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {ADMIN}", f"Bearer {BOOTSTRAP}", "Bearer outr_0_0", "\xe9",
     "Bearer outr_0123456789abcdef_" + "A" * 43],
)  # fmt: skip
def test_what_is_no_token_opens_nothing(stand: Stand, authorization: str) -> None:
    """401 on every route, in the same words, with the scheme that is wanted."""
    for route in needed(stand):
        method, path = route.split()
        answer = stand.ask(method, path.replace("{", "").replace("}", ""), role=None, Authorization=authorization)
        assert (answer.status, answer.code) == (401, "unauthorized"), route
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_token_ends_at_once(stand: Stand) -> None:
    """Its holder is told; so is that of an expired one."""
    token, name = stand.make_token("read")
    assert stand.ask("GET", "/v1/findings", role=token).status == 200
    assert stand.ask("DELETE", f"/v1/tokens/{name}").json["state"] == "revoked"
    refused = stand.ask("GET", "/v1/findings", role=token)
    assert (refused.status, refused.code) == (401, "token-revoked")
    assert stand.ask("DELETE", f"/v1/tokens/{name}").status == 200
    late = stand.ask("POST", "/v1/tokens", {"kind": "read", "name": "x", "expires_at": "2001-01-01T00:00:00Z"})
    assert (late.status, late.code) == (400, "bad-request")


def test_a_token_to_enrol_with_reads_nothing(stand: Stand) -> None:
    """And one to read with enrols nobody; each does its own."""
    enrolling, name = stand.make_token("enrol", max_uses=1)
    assert stand.ask("GET", "/v1/findings", role=enrolling).code == "unauthorized"
    assert Teller(stand).enrol(stand.tokens["admin"]).code == "bad-token"
    assert Teller(stand).enrol(enrolling).status == 200
    assert Teller(stand).enrol(enrolling).code == "token-used-up"
    kept = {each["id"]: each for each in stand.ask("GET", "/v1/tokens").json["tokens"]}
    assert (kept[name]["state"], kept[name]["uses"]) == ("used-up", 1)
    assert "digest" not in kept[name] and enrolling not in str(kept)


def test_the_last_use_of_a_token_is_noted(stand: Stand) -> None:
    """So that one that nobody uses can be found and revoked."""
    token, name = stand.make_token("read")
    stand.ask("GET", "/v1/findings", role=token)
    kept = {each["id"]: each for each in stand.ask("GET", "/v1/tokens?kind=read").json["tokens"]}
    assert kept[name]["last_used_at"]


def test_the_bootstrap_token_reads_only_where_nothing_else_is_there(tmp_path: Path) -> None:
    """In a lab it does; from the first token on, it does not; it never changes anything."""
    with standing(tmp_path, admin_token="") as stand:
        stand.tokens["bootstrap"] = BOOTSTRAP
        one = Teller(stand)
        assert one.enrol().status == 200
        assert one.tell(make_finding("a")).status == 200
        assert stand.ask("GET", "/v1/findings", role="bootstrap").status == 200
        assert stand.ask("POST", "/v1/tokens", {"kind": "admin", "name": "x"}, role="bootstrap").code == "forbidden"
        make_by_command(tmp_path)
        assert stand.ask("GET", "/v1/findings", role="bootstrap").code == "unauthorized"
        assert Teller(stand).enrol().status == 200


def test_a_configured_read_token_reads(tmp_path: Path) -> None:
    """As before there were others; the bootstrap token then does not."""
    with standing(tmp_path, admin_token="", read_token="a-read-token") as stand:
        assert stand.ask("GET", "/v1/findings", role="a-read-token").status == 200
        assert stand.ask("GET", "/v1/audit", role="a-read-token").code == "forbidden"
        assert stand.ask("GET", "/v1/findings", role=BOOTSTRAP).code == "unauthorized"


def test_metrics_may_be_open(tmp_path: Path) -> None:
    """Where it is set."""
    with standing(tmp_path, metrics_open="true") as stand:
        assert stand.ask("GET", "/metrics", role=None).status == 200


def make_by_command(data: Path) -> Any:
    """`outrider tokens create`."""
    from outrider_cli.main import main

    assert main(["tokens", "create", "--data", str(data), "--kind", "admin", "--name", "first"]) == 0
