"""The agent's introspection API: parsing, and a real server that is gone, talks nonsense, or never ends."""

import json
import time

import pytest
from ecs_agent import ARN, CLUSTER, IDS, METADATA, PAY, TASKS, WEB
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.decode.introspection import (
    InstanceFacts,
    cluster_of,
    parse_instance,
    parse_tasks,
    task_id_of,
)
from outrider_sidecar.decode.metadata import ContainerFacts
from outrider_sidecar.introspection import fetch_instance, fetch_tasks
from outrider_wire.errors import Unavailable
from outrider_wire.findings import TaskView

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda s: (
        st.lists(s)
        | st.dictionaries(
            st.sampled_from(["Tasks", "Arn", "Containers", "DockerId", "Name", "CreatedAt", "Cluster", "Image"]), s
        )
    ),
)


def test_the_instance_is_read():
    """Cluster, ARN and the agent's version."""
    assert parse_instance(json.dumps(METADATA).encode()) == InstanceFacts(
        CLUSTER, f"{ARN}:container-instance/{CLUSTER}/abc", "Amazon ECS Agent - v1.99.0 (*00000000)"
    )


def test_an_agent_that_is_not_registered_has_no_instance():
    """`ContainerInstanceArn` is null then."""
    assert parse_instance(b'{"Cluster": "c", "ContainerInstanceArn": null, "Version": "v"}').arn == ""


def test_tasks_are_read():
    """Each with ARN, cluster, family and revision; its containers with id, name, image and creation."""
    web, pay = parse_tasks(json.dumps(TASKS).encode(), cluster=CLUSTER)
    assert web.task == TaskView(f"{ARN}:task/{CLUSTER}/{WEB}", CLUSTER, "web", "7")
    assert web.containers[0] == ContainerFacts(IDS["app"], "app", "registry.example/web:7", 1_767_323_045_500_000_000)
    assert [c.name for c in (*web.containers, *pay.containers)] == ["app", "sidecar-log", "ledger"]


def test_an_older_agent_tells_less():
    """No image, no times, ARNs without a cluster: the instance's cluster is the task's."""
    raw = {"Tasks": [{"Arn": f"{ARN}:task/{PAY}", "Family": "f", "Version": "1"}]}
    raw["Tasks"][0]["Containers"] = [{"DockerId": "1" * 64, "DockerName": "d", "Name": "n"}, {"Name": "no id"}, 5]
    (facts,) = parse_tasks(json.dumps(raw).encode(), cluster="older")
    assert facts.task.cluster == "older"
    assert facts.containers == (ContainerFacts("1" * 64, "n"),)


@pytest.mark.parametrize("raw", [b'{"Tasks": null}', b"{}", b'{"Tasks": []}'])
def test_no_tasks_are_no_error(raw):
    """An instance may have none."""
    assert parse_tasks(raw) == ()


@pytest.mark.parametrize(
    ("arn", "task_id", "cluster"),
    [
        (f"arn:aws:ecs:r:1:task/c/{WEB}", WEB, "c"),
        (f"arn:aws:ecs:r:1:task/{WEB}", WEB, ""),
        ("arn:aws:ecs:r:1:service/c/x", "", ""),
        ("", "", ""),
    ],
)
def test_an_arn_tells_task_and_cluster(arn, task_id, cluster):
    """In both forms; other resources tell neither."""
    assert (task_id_of(arn), cluster_of(arn)) == (task_id, cluster)


@given(JSON)
def test_any_json_is_read_or_refused(document):
    """Nothing else than ValueError comes of a document of another shape."""
    for parse in (parse_instance, parse_tasks):
        try:
            parse(json.dumps(document).encode())
        except ValueError:
            pass


@given(st.binary(max_size=200) | st.integers(1, 100_000).map(lambda n: b"[" * n))
def test_any_bytes_are_read_or_refused(raw):
    """Nor of bytes that are no JSON, or nested too deep."""
    for parse in (parse_instance, parse_tasks):
        try:
            parse(raw)
        except ValueError:
            pass


def test_a_real_agent_is_asked(agent):
    """Both questions, over HTTP."""
    assert fetch_instance(agent.uri).cluster == CLUSTER
    assert len(fetch_tasks(agent.uri + "/")) == 2


@pytest.mark.parametrize("answer", [b"", b"[]", b"[" * 100_000, b"\xff", 500, 404, b'{"Tasks": 5, "Cluster": 5}'])
def test_an_agent_that_talks_nonsense_is_unavailable(agent, answer):
    """The guard goes on without names, and says why."""
    agent.answer = dict.fromkeys(agent.answer, answer)
    for fetch in (fetch_instance, fetch_tasks):
        with pytest.raises(Unavailable):
            fetch(agent.uri)


@pytest.mark.parametrize("manner", ["hang", "drip"])
def test_an_agent_that_never_ends_is_left(agent, manner):
    """A second for the whole of it, however it comes."""
    agent.answer["/v1/tasks"] = manner
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"in time|timed out"):
        fetch_tasks(agent.uri)
    assert time.monotonic() - began < 3


def test_an_answer_without_end_is_refused(agent, monkeypatch):
    """More than the bound is not read."""
    agent.answer["/v1/tasks"] = b" " * (5 * 1024 * 1024)
    with pytest.raises(Unavailable, match="longer than"):
        fetch_tasks(agent.uri)


@pytest.mark.parametrize(
    "uri", ["", "ftp://x", "http://", "http://[::1", "http://127.0.0.1:port", "http://127.0.0.1:9"]
)
def test_an_address_that_is_none_is_unavailable(uri):
    """As one where nobody listens."""
    with pytest.raises(Unavailable):
        fetch_tasks(uri)
