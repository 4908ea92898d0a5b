"""The task metadata endpoint: parsing, a real server that misbehaves, and what containers learn from it."""

import http.server
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.metadata import ContainerFacts, TaskFacts, parse_task
from outrider_sidecar.metadata import fetch_task
from outrider_sidecar.world.containers import Containers, container_id
from outrider_sidecar.world.drift import DriftRecord
from outrider_wire.errors import Unavailable
from outrider_wire.findings import TaskView

TASK = "0123456789abcdef0123456789abcdef"
ANSWER = {
    "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/c/" + TASK,
    "Cluster": "c",
    "Family": "web",
    "Revision": "7",
    "Containers": [
        {
            "DockerId": TASK + "-1234567890",
            "Name": "app",
            "Image": "registry.example/web:7",
            "CreatedAt": "2026-01-02T03:04:05.123456789Z",
            "Type": "NORMAL",
        },
        {"DockerId": TASK + "-42", "Name": "~internal~ecs~pause", "Type": "CNI_PAUSE"},
    ],
}


def containers(**kw) -> Containers:
    return Containers(lambda mnt_ns, started_ns, ident: DriftRecord(started_ns), **kw)


def test_a_task_is_read():
    """ARN, family, and each container's id, name, image and creation to the nanosecond."""
    facts = parse_task(json.dumps(ANSWER).encode())
    assert facts.task == TaskView(ANSWER["TaskARN"], "c", "web", "7")
    assert facts.containers[0] == ContainerFacts(
        TASK + "-1234567890", "app", "registry.example/web:7", 1_767_323_045_123_456_789
    )
    assert facts.containers[1].kind == "CNI_PAUSE"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda s: (
            st.lists(s)
            | st.dictionaries(st.sampled_from(["TaskARN", "Containers", "Name", "CreatedAt", "DockerId"]), s)
        ),
    )
)
def test_any_json_is_a_task_or_refused(document):
    """Nothing else than ValueError comes of a document of another shape."""
    try:
        parse_task(json.dumps(document).encode())
    except ValueError:
        pass


@given(st.binary(max_size=200))
def test_any_bytes_are_a_task_or_refused(raw):
    """Nor of bytes that are no JSON."""
    try:
        parse_task(raw)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"0::/ecs/{TASK}/{TASK}-1234567890\n", TASK + "-1234567890"),
        (f"3:memory:/ecs/{TASK}/{TASK}-9\n0::/\n", TASK + "-9"),
        ("12:pids:/docker/" + "ab" * 32 + "\n", "ab" * 32),
        (f"0::/ecs/{TASK}\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_a_container_is_known_by_its_cgroup(text, expected):
    """The id as Fargate writes it, or Docker's; nothing where a private namespace hides the path."""
    assert container_id(text) == expected


def test_a_container_is_named_when_the_endpoint_tells():
    """Name, image and baseline come with the answer, also for a container that was seen before it."""
    made = containers()
    container = made.see(7, f"0::/ecs/{TASK}/{TASK}-1234567890", 10, 5)
    assert container is not None
    assert container.view.name == ""
    made.learn(parse_task(json.dumps(ANSWER).encode()))
    assert (container.name, container.named_by) == ("app", "cgroup")
    assert container.drift.baseline_ns == 1_767_323_045_123_456_789


def test_the_only_nameless_one_is_named_by_elimination():
    """Where the cgroup hides the path, one container and one candidate besides ourselves name each other."""
    made = containers()
    facts = parse_task(json.dumps(ANSWER).encode())
    me = ContainerFacts(TASK + "-77", "outrider")
    container = made.see(7, "0::/", 10, 5)
    made.learn(TaskFacts(facts.task, (*facts.containers, me)), self_id=me.id)
    assert container is not None
    assert (container.name, container.named_by) == ("app", "elimination")


def test_two_nameless_ones_are_not_guessed():
    """Two containers, one candidate: neither is named."""
    made = containers()
    first, second = made.see(7, "", 10, 5), made.see(8, "", 10, 5)
    made.learn(parse_task(json.dumps(ANSWER).encode()))
    assert first is not None and second is not None
    assert (first.name, second.name) == ("", "")


def test_the_sidecars_own_container_is_none_of_them():
    """Our own mount namespace is no guarded container."""
    made = containers(own_mnt_ns=7)
    assert made.see(7, "", 10, 5) is None
    assert made.see(0, "", 10, 5) is None


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"{" * 1000, b'{"TaskARN": 5}', b"\xff\xfe"])
def test_an_endpoint_that_talks_nonsense_is_unavailable(answer):
    """The sidecar goes on without names, and says why."""

    class Nonsense(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(Unavailable):
            fetch_task(f"http://127.0.0.1:{server.server_port}/v4/x")


def test_an_endpoint_that_is_not_there_is_unavailable():
    """Refused at once."""
    with pytest.raises(Unavailable):
        fetch_task("http://127.0.0.1:9/v4/x")
