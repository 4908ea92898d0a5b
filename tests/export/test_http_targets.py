"""HTTP: what is taken, what is refused for good, and every way in which a receiver may fail."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from receivers import Receiver, answer, close, drip, hang, running_receiver

from outrider_collector.export.configuration import Falcosidekick, Webhook
from outrider_collector.export.http_targets import HttpTarget, falcosidekick_target, webhook_target
from outrider_collector.export.posting import read_retry_after
from outrider_collector.export.signing import verify
from outrider_wire.errors import DeliveryError

SECRET = "0123456789abcdef-for-tests"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that takes everything until it is told otherwise."""
    with running_receiver() as running:
        yield running


@pytest.fixture
def hook(receiver: Receiver, tmp_path: Path) -> Iterator[HttpTarget]:
    """A webhook that is impatient."""
    (tmp_path / "secret").write_text(SECRET)
    secret_file = str(tmp_path / "secret")
    target = webhook_target(Webhook(name="hook", url=receiver.url, secret_file=secret_file, timeout_s=0.5))
    yield target
    target.close()


def test_each_finding_is_a_signed_post(receiver: Receiver, hook: HttpTarget, stored: Any) -> None:
    """Over one connection; a receiver with the secret can tell that it is ours."""
    found = [stored(id=f"{n:032x}") for n in range(5)]
    assert [outcome.status for outcome in hook.send(found)] == ["sent"] * 5
    assert receiver.ids == [each.id for each in found] and receiver.connections == 1
    post = receiver.posts[0]
    at, signature = post.headers["outrider-timestamp"], post.headers["outrider-signature"]
    assert verify(SECRET.encode(), at, signature, post.body, now_s=time.time())
    assert post.json["id"] == found[0].id and post.json["finding"]["rule"] == "Reverse Shell"
    assert post.headers["outrider-change"] == "9" and post.headers["content-type"] == "application/json"


def test_what_a_receiver_refuses_is_told_with_its_words(receiver: Receiver, hook: HttpTarget, stored: Any) -> None:
    """Only for that finding; what it says is shown in short, and nothing in it can be meant for a terminal."""
    receiver.script = [answer(200), answer(422, body=b"no such\x1b[31m\nteam" + b"x" * 1000), answer(204)]
    outcomes = hook.send([stored(), stored(), stored()])
    assert [outcome.status for outcome in outcomes] == ["sent", "refused", "sent"]
    assert outcomes[1].reason.startswith("answered 422: no such") and len(outcomes[1].reason) < 250


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 408, 429, 500, 502, 503])
def test_what_is_the_receivers_fault_is_tried_again(
    receiver: Receiver, hook: HttpTarget, stored: Any, status: int
) -> None:
    """Redirects are not followed: findings go where the operator said, and nowhere else."""
    receiver.script = [answer(status, {"Retry-After": "7", "Location": receiver.url + "elsewhere"})]
    with pytest.raises(DeliveryError, match=f"answered {status}") as caught:
        hook.send([stored()])
    assert caught.value.retry_after_s == 7.0 and not caught.value.refused
    assert [post.path for post in receiver.posts] == ["/"]


def test_one_that_fails_after_others_ends_the_round(receiver: Receiver, hook: HttpTarget, stored: Any) -> None:
    """Those before it are sent, and are not sent again."""
    receiver.script = [answer(200), answer(200), answer(500)]
    assert len(hook.send([stored()] * 5)) == 2


@pytest.mark.parametrize("behave", [hang, drip, close])
def test_a_receiver_that_hangs_drips_or_closes(receiver: Receiver, hook: HttpTarget, stored: Any, behave: Any) -> None:
    """Costs no more than the time that was set, and the next one is sent."""
    receiver.script = [behave]
    began_s = time.monotonic()
    with pytest.raises(DeliveryError):
        hook.send([stored()])
    assert time.monotonic() - began_s < 3
    assert len(hook.send([stored()])) == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_again(
    receiver: Receiver, hook: HttpTarget, stored: Any
) -> None:
    """Without a failure."""
    hook.send([stored()])
    receiver.script = [close]
    assert len(hook.send([stored()])) == 1
    assert receiver.connections == 2 and len(receiver.posts) == 3


def test_an_answer_without_end_is_not_read(receiver: Receiver, hook: HttpTarget, stored: Any) -> None:
    """Its status counts, and no more of it is kept than fits."""
    receiver.script = [answer(200, body=b"x" * 3_000_000)]
    assert len(hook.send([stored(), stored()])) == 2


def test_nobody_there(tmp_path: Path, stored: Any) -> None:
    """A port where nobody listens, and a name that is none."""
    for url in ("http://127.0.0.1:9/", "http://no-such-host.invalid/"):
        target = falcosidekick_target(Falcosidekick(name="x", url=url))
        with pytest.raises(DeliveryError):
            target.send([stored()])


def test_falcosidekick(receiver: Receiver, stored: Any) -> None:
    """Falco's alert at the path that was given."""
    target = falcosidekick_target(Falcosidekick(name="x", url=receiver.url + "alerts?team=a"))
    target.send([stored()])
    (post,) = receiver.posts
    assert post.path == "/alerts?team=a" and post.json["rule"] == "Reverse Shell"
    assert json.loads(post.body)["output_fields"]["proc.cmdline"] == "sh -i"


def test_retry_after() -> None:
    """A number, a date, or nothing."""
    assert read_retry_after("120", 0) == 120.0
    assert read_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20) == 40.0
    for nonsense in ("", "soon", "-1", "9" * 500, "Thu, 99 Jan 1970 00:01:00 GMT"):
        assert read_retry_after(nonsense, 0) in (None, float("9" * 64))
