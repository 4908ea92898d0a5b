"""Tokens: made here, kept as a digest, good for what they are for, refused by name."""

import contextlib
import io
import json
import sqlite3
import string
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aws_stand import new_task
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from outrider_cli.main import main
from outrider_cli.tokens import read_end
from outrider_collector.identity.patterns import matches
from outrider_collector.store.database import open_database, writing
from outrider_collector.store.tokens import list_tokens, load_token, revoke_token, save_token, spend_token
from outrider_collector.tokens import (
    KINDS,
    Scope,
    check_scope,
    check_token,
    make_token,
    read_scope,
    token_id,
    view_token,
)
from outrider_wire.enrolment import ENROL_CONTENT_TYPE, encode_request, make_request
from outrider_wire.errors import ConfigError, WireError
from outrider_wire.findings import TaskView
from outrider_wire.signing import SigningKey

HOUR_NS = 3_600_000_000_000
WEB = TaskView(arn=f"arn:aws:ecs:eu-west-1:123456789012:task/prod/{'a' * 32}", cluster="prod", family="web")


def refused(act: Callable[[], object]) -> str:
    """The code of the refusal."""
    with pytest.raises(WireError) as refusal:
        act()
    return refusal.value.code


def test_a_token_is_kept_without_its_secret() -> None:
    """What is kept is no help to whoever reads it."""
    shown, kept = make_token("enrol", now_ns=1)
    secret = shown.rpartition("_")[2] if shown.count("_") == 2 else shown.split("_", 2)[2]
    assert secret.encode() not in kept.digest
    assert secret not in repr(kept)
    assert check_token(shown, kept, ("enrol",), 2) == kept
    assert token_id(shown) == kept.id
    assert make_token("enrol", now_ns=1)[0] != shown


def test_a_token_is_good_for_what_it_is_for() -> None:
    """And for nothing else; only who holds its secret learns why not."""
    shown, kept = make_token("enrol", now_ns=1, expires_at_ns=HOUR_NS, max_uses=1)
    other = make_token("enrol", now_ns=1)[1]
    assert refused(lambda: check_token(shown, kept, ("read", "admin"), 2)) == "bad-token"
    assert refused(lambda: check_token(shown, None, ("enrol",), 2)) == "bad-token"
    assert refused(lambda: check_token(shown, other, ("enrol",), 2)) == "bad-token"
    assert (
        refused(lambda: check_token(shown[:-4] + "AAAA", replace(kept, revoked_at_ns=1), ("enrol",), 2)) == "bad-token"
    )
    assert refused(lambda: check_token(shown, kept, ("enrol",), HOUR_NS)) == "token-expired"
    assert refused(lambda: check_token(shown, replace(kept, revoked_at_ns=1), ("enrol",), 2)) == "token-revoked"
    assert check_token(shown, kept, ("enrol",), HOUR_NS - 1) == kept


@given(shown=st.text() | st.from_regex(r"outr_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_whatever_is_shown_is_refused(shown: str) -> None:
    """There is no third way."""
    kept = make_token("enrol", now_ns=1)[1]
    assert refused(lambda: check_token(shown, kept, KINDS, 2)) == "bad-token"
    assert refused(lambda: check_token(shown, None, KINDS, 2)) == "bad-token"


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("", True),
        ("family=web", True),
        ("family=w*,cluster=prod", True),
        ("cluster=pro", False),
        ("family=worker", False),
        ("account=123456789012", True),
        ("account=123456789013", False),
        ("task=arn:aws:ecs:*:task/prod/*", True),
        ("task=arn:aws:ecs:*:task/test/*", False),
        ("family=web,account=1", False),
    ],
)
def test_a_scope_is_held(scope: str, held: bool) -> None:
    """All of its parts; what the ARN says of cluster and account counts for more than what is said beside it."""
    kept = make_token("enrol", now_ns=1, scope=read_scope(scope))[1]
    lying = replace(WEB, cluster="prod" if "pro" not in scope else "pro")
    for task in (WEB, lying):
        if held:
            check_scope(kept, task)
        else:
            assert refused(lambda task=task: check_scope(kept, task)) == "token-scope"
    if scope:
        assert refused(lambda: check_scope(kept, None)) == "token-scope"


@pytest.mark.parametrize("text", ["family", "family=", "color=red", "family=a,family=b", "=x"])
def test_a_scope_that_makes_no_sense_is_refused(text: str) -> None:
    """A misspelt one would let in more than was meant."""
    with pytest.raises(ValueError):
        read_scope(text)


@given(parts=st.lists(st.text(string.ascii_letters + "/:-", max_size=5), min_size=1, max_size=5), between=st.data())
def test_patterns_fit_what_they_are_made_of(parts: list[str], between: st.DataObject) -> None:
    """`*` is any text."""
    text = parts[0] + "".join(between.draw(st.text(max_size=5)) + part for part in parts[1:])
    assert matches("*".join(parts), text)
    assert matches("*".join(parts) + "#", text) == text.endswith("#")


def test_a_tokens_uses_are_counted_by_all_at_once(store_url: str) -> None:
    """It is spent as often as it may be, whoever spends; not when it was revoked or has ended."""
    engine = open_database(store_url)
    kept = make_token("enrol", now_ns=1, max_uses=2, expires_at_ns=HOUR_NS)[1]
    with writing(engine) as connection:
        save_token(connection, kept)
        assert [spend_token(connection, kept.id, now_ns=5) for _ in range(3)] == [True, True, False]
        assert load_token(connection, kept.id) == replace(kept, uses=2, last_used_ns=5)
        again = make_token("enrol", now_ns=2, name="second")[1]
        save_token(connection, again)
        assert [each.id for each in list_tokens(connection)] == [again.id, kept.id]
        assert list_tokens(connection, "read") == []
        assert revoke_token(connection, again.id, now_ns=9, by="me")
        assert not revoke_token(connection, again.id, now_ns=10)
        assert not spend_token(connection, again.id, now_ns=11)
        assert not spend_token(connection, "nobody", now_ns=11)
        shown = load_token(connection, again.id)
    assert shown is not None
    assert (view_token(shown, 12).state, view_token(shown, 12).revoked_by) == ("revoked", "me")
    assert view_token(replace(kept, uses=2), 12).state == "used-up"
    assert view_token(kept, HOUR_NS).state == "expired"
    engine.dispose()


def tokens(*words: str) -> SimpleNamespace:
    """The command: its exit code and what it writes."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["tokens", *words])
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def create(collector: Any, *words: str) -> tuple[str, str]:
    """A token made by the command beside a running collector: itself and its id."""
    made = tokens("create", "--json", "--data", str(collector.data), *words)
    assert made.returncode == 0, made.stderr
    facts = json.loads(made.stdout)
    return facts["token"], facts["id"]


def by(token: str, task: TaskView | None, key: SigningKey | None = None) -> Any:
    """An enrolment by token."""
    made = key or SigningKey.generate()
    return make_request(made, SigningKey.generate(), token=token, task=task, made_at_ns=1)


def test_a_token_enrols_what_it_is_for(plain: Any) -> None:
    """As often as it may, until it is revoked; the refusal says why. The configured token goes on to work."""
    token, name = create(plain, "--scope", "family=web,cluster=prod", "--expires", "90d", "--uses", "2")
    key = SigningKey.generate()
    task = new_task()
    assert plain.enrol(by(token, task, key)) == (200, "enrolled")
    assert plain.enrol(by(token, task, key)) == (200, "known")
    assert plain.enrol(by(token, new_task(family="worker"))) == (403, "token-scope")
    assert plain.enrol(by(token, None)) == (403, "token-scope")
    assert plain.enrol(by(token, new_task())) == (200, "enrolled")
    assert plain.enrol(by(token, new_task())) == (401, "token-used-up")
    assert plain.enrol(by(token, task, key)) == (200, "known")
    assert name in plain.why(by(token, new_task(cluster="other")))
    assert tokens("revoke", name, "--data", str(plain.data)).returncode == 0
    assert plain.enrol(by(token, new_task())) == (401, "token-revoked")
    assert tokens("revoke", name, "--data", str(plain.data)).returncode == 2
    assert plain.enrol(by("a-configured-token", new_task())) == (200, "enrolled")
    assert plain.enrol(by("", new_task())) == (401, "proof-needed")


def test_a_token_that_ended_or_is_for_readers_enrols_nobody(plain: Any) -> None:
    """By name, to who holds it."""
    ended, _ = create(plain, "--expires", "2020-01-01T00:00:00Z")
    reader, _ = create(plain, "--kind", "read")
    assert plain.enrol(by(ended, None)) == (401, "token-expired")
    assert plain.enrol(by(ended[:-1] + "x", None)) == (401, "bad-token")
    assert plain.enrol(by(reader, None)) == (401, "bad-token")


def test_no_secret_is_in_the_database(plain: Any) -> None:
    """Neither that of a token nor the configured one."""
    token, name = create(plain, "--name", "for web")
    assert plain.enrol(by(token, None)) == (200, "enrolled")
    with sqlite3.connect(plain.data / "outrider.sqlite") as database:
        text = "\n".join(database.iterdump())
    assert name in text
    assert token.split("_", 2)[2] not in text
    assert "a-configured-token" not in text
    listed = tokens("list", "--data", str(plain.data))
    assert "for web" in listed.stdout
    assert token not in listed.stdout


def test_who_guesses_is_made_to_wait(run_collector: Any) -> None:
    """And a good token is taken all the while."""
    collector = run_collector(enrolment_refusals="5")
    answers = [collector.enrol(by(f"guess-{number}", None))[0] for number in range(12)]
    assert answers[:5] == [401] * 5
    assert 429 in answers
    assert collector.enrol(by("a-configured-token", None)) == (200, "enrolled")


def test_behind_a_load_balancer_each_guesser_waits_for_himself(run_collector: Any) -> None:
    """Whom it names is counted; and to name somebody else in front of that does not help."""
    collector = run_collector(enrolment_refusals="3", trusted_proxies="127.0.0.0/8")

    def guess(forwarded: str) -> int:
        body, headers = encode_request(by("a-guess", None)), {"X-Forwarded-For": forwarded}
        return int(collector.ask("POST", "/v1/enrol", body, ENROL_CONTENT_TYPE, **headers)[0])

    assert 429 in [guess(f"192.0.2.{number}, 203.0.113.7") for number in range(10)]
    assert guess("203.0.113.8") == 401


def test_the_end_of_a_token_is_a_length_or_a_time() -> None:
    """Anything else is refused by name."""
    assert read_end("90d", 5) == 90 * 24 * HOUR_NS + 5
    assert read_end("", 5) == 0
    assert read_end("2030-01-01T00:00:00Z", 5) > time.time_ns()
    for text in ("soon", "d", "-1d", "1y", "99999999d"):
        with pytest.raises(ConfigError):
            read_end(text, 5)


def test_the_scope_is_shown_as_it_was_given() -> None:
    """Round."""
    assert read_scope("family=web,account=1") == Scope(family="web", account="1")
