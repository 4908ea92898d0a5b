"""The task metadata endpoint answers as ECS's does on Fargate."""

from msgspec.structs import replace

from outrider_lab.metadata import ContainerFacts, TaskFacts, answer_path, rfc3339

CREATED_AT_NS = 1_700_000_000_000_000_001
APP = ContainerFacts("aa-1", "app", "image:1", created_at_ns=CREATED_AT_NS, started_at_ns=CREATED_AT_NS + 10**9)
TASK = TaskFacts("aa", "203.0.113.10", (APP, ContainerFacts("aa-2", "outrider", "image:2")))


def test_a_container_is_told_of_at_its_own_path():
    """The path with a container's id gives that container, with its real time of creation."""
    document = answer_path([TASK], "/v4/aa-1")
    assert document is not None
    assert (document["Name"], document["DockerId"]) == ("app", "aa-1")
    assert document["CreatedAt"] == "2023-11-14T22:13:20.000000001Z"


def test_a_container_that_does_not_run_yet_has_no_times():
    """Before it is made, a container is pulled and has neither CreatedAt nor StartedAt."""
    document = answer_path([TASK], "/v4/aa-2")
    assert document is not None
    assert document["KnownStatus"] == "PULLED"
    assert not {"CreatedAt", "StartedAt"} & document.keys()


def test_the_task_lists_its_containers():
    """Below the container's path, /task gives the whole task, pending until all run."""
    document = answer_path([TASK], "/v4/aa-2/task")
    assert document is not None
    assert [container["Name"] for container in document["Containers"]] == ["app", "outrider"]
    assert document["KnownStatus"] == "PENDING"
    running = answer_path([replace(TASK, containers=(APP,))], "/v4/aa-1/task")
    assert running is not None
    assert running["KnownStatus"] == "RUNNING"


def test_other_paths_are_not_found():
    """Unknown containers and unknown documents are not there."""
    assert [answer_path([TASK], path) for path in ("/", "/v4", "/v4/bb", "/v4/aa-1/stats", "/v3/aa-1")] == [None] * 5


def test_times_keep_their_nanoseconds():
    """A time is written in UTC with nine digits."""
    assert rfc3339(1) == "1970-01-01T00:00:00.000000001Z"
