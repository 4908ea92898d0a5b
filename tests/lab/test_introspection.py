"""The agent's introspection API answers as a container instance's does."""

import pytest

from outrider_lab.host.introspection import answer_agent
from outrider_lab.metadata import ContainerFacts, TaskFacts

STARTED_AT_NS = 1_700_000_000_000_000_001
APP = ContainerFacts("a" * 64, "app", "image:1", created_at_ns=STARTED_AT_NS, started_at_ns=STARTED_AT_NS)
LATE = ContainerFacts("b" * 64, "late", "image:2")
WEB = TaskFacts("1" * 32, "203.0.113.10", (APP, LATE), cluster="c", family="web", revision="7", launch_type="EC2")
HOST = TaskFacts("2" * 32, "127.0.0.1", (), cluster="c", family="metrics", launch_type="EC2", network="host")


def ask(path: str):
    return answer_agent("c", [WEB, HOST], path)


def test_the_instance_is_told_of():
    """Cluster, the instance's ARN, and the agent's version."""
    document = ask("/v1/metadata")
    assert document["Cluster"] == "c"
    assert document["ContainerInstanceArn"].startswith("arn:aws:ecs:eu-central-1:000000000000:container-instance/c/")
    assert "Agent" in document["Version"]


def test_each_task_is_told_of_with_its_containers():
    """Names, ids, images and times; a task is pending until all its containers run."""
    web, host = ask("/v1/tasks")["Tasks"]
    assert (web["Family"], web["Version"], web["KnownStatus"]) == ("web", "7", "PENDING")
    assert [(one["Name"], one["DockerId"], one["Image"]) for one in web["Containers"]] == [
        ("app", "a" * 64, "image:1"),
        ("late", "b" * 64, "image:2"),
    ]
    assert web["Containers"][0]["StartedAt"] == "2023-11-14T22:13:20.000000001Z"
    assert "StartedAt" not in web["Containers"][1]
    assert web["Containers"][0]["DockerName"] == "ecs-web-7-app-" + "a" * 20
    assert host["Containers"] == []


@pytest.mark.parametrize(
    "query", [f"dockerid={'b' * 64}", f"taskarn=arn:aws:ecs:eu-central-1:000000000000:task/c/{'1' * 32}"]
)
def test_one_task_is_asked_for(query: str):
    """By a container of it, or by its ARN."""
    assert ask(f"/v1/tasks?{query}")["Family"] == "web"


@pytest.mark.parametrize("path", ["/v1", "/v1/task", "/v2/tasks", "/v1/tasks?dockerid=cc", "/v1/tasks?taskarn=arn"])
def test_the_rest_is_not_found(path: str):
    """Unknown documents, containers and tasks are not there."""
    assert ask(path) is None
