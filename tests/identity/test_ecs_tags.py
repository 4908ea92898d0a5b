"""Tags of clusters and tasks, by a stand-in of the ECS API on loopback; and an API that refuses or is gone."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ecs_agent import CLUSTER, IDS, WEB
from hypothesis import given
from hypothesis import strategies as st

from outrider_sidecar.aws.ecs_tags import EcsTags, parse_answer, read_tags
from outrider_sidecar.aws.places import place_of, reach_ecs
from outrider_sidecar.aws.sigv4 import Credentials
from outrider_sidecar.decode.metadata import TaskFacts
from outrider_sidecar.selecting import Selecting
from outrider_sidecar.selection import Selection
from outrider_wire.errors import Unavailable
from outrider_wire.findings import TaskView

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": REGION}


@pytest.fixture(scope="module")
def api() -> Iterator[SimpleNamespace]:
    """moto's server with a cluster and two tasks, all with tags, made through boto3."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("moto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    environ = {**os.environ, **KEYS}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        uri = f"http://127.0.0.1:{port}/"
        wait_for(port)
        yield fill(boto3, uri)
    finally:
        server.kill()
        server.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "moto did not start"
        time.sleep(0.05)


def fill(boto3, uri: str) -> SimpleNamespace:
    """A cluster with a tag, and two tasks of one family whose tags differ."""
    ecs, ec2 = (
        boto3.client(name, endpoint_url=uri, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="y")
        for name in ("ecs", "ec2")
    )
    cluster = ecs.create_cluster(clusterName=CLUSTER, tags=[{"key": "Team", "value": "payments"}])["cluster"]
    container = {"name": "app", "image": "web:7", "cpu": 256, "memory": 512}
    ecs.register_task_definition(
        family="web", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[container],
    )  # fmt: skip
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet], "securityGroups": [group]}}
    arns = [
        ecs.run_task(
            cluster=CLUSTER, taskDefinition="web", launchType="FARGATE", networkConfiguration=network,
            tags=[{"key": key, "value": value}],
        )["tasks"][0]["taskArn"]
        for key, value in (("Other", "ü +,="), ("OutriderManaged", "false"))
    ]  # fmt: skip
    return SimpleNamespace(uri=uri, cluster=cluster["clusterArn"], arns=arns)


@pytest.fixture
def tags(api) -> EcsTags:
    return EcsTags(REGION, lambda: Credentials("AKIDEXAMPLE", "secret"), endpoint=api.uri)


def test_a_clusters_tags_are_told(api, tags):
    """By its name and by its ARN."""
    assert tags.of_cluster(CLUSTER) == tags.of_cluster(api.cluster) == {"Team": "payments"}


def test_tasks_tags_are_told_by_arn(api, tags):
    """One that is not there is not among them."""
    unknown = api.arns[0][:-4] + "0000"
    found = tags.of_tasks(CLUSTER, [*api.arns, unknown])
    assert found == {api.arns[0]: {"Other": "ü +,="}, api.arns[1]: {"OutriderManaged": "false"}}


def test_more_than_a_hundred_tasks_are_asked_for_in_parts(api, tags):
    """As many at a time as the API takes."""
    many = [*api.arns, *(f"{api.arns[0][:-8]}{n:08x}" for n in range(150))]
    assert set(tags.of_tasks(CLUSTER, many)) == set(api.arns)


def test_a_cluster_that_nobody_knows_is_unavailable(tags):
    """It is not a cluster without tags."""
    with pytest.raises(Unavailable, match="knows no cluster"):
        tags.of_cluster("nowhere")


def test_the_region_and_the_address_come_from_the_arn():
    """Of each partition; nothing that is no region gets into a host's name."""
    assert place_of("arn:aws-cn:ecs:cn-north-1:1:task/c/x") == ("aws-cn", "cn-north-1")
    assert EcsTags("cn-north-1", Credentials, partition="aws-cn")._url == "https://ecs.cn-north-1.amazonaws.com.cn/"
    for arn in ("", "arn:aws:ecs", "arn:aws:ecs:e.example/:1:task/x", "arn:aws:ecs::1:task/x"):
        with pytest.raises(ValueError):
            place_of(arn)
        with pytest.raises(Unavailable):
            reach_ecs({})(TaskView(arn))


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            400,
            {"__type": "AccessDeniedException", "Message": "not you"},
            "refused DescribeClusters with 400: Acc.*not you",
        ),
        (500, b"<html>", "answered 500"),
        (200, b"[]", "not an object"),
        (200, {"clusters": 5}, "knows no cluster"),
    ],
)
def test_an_api_that_refuses_says_why(status, body, said):
    """With what to allow."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        asking = EcsTags(REGION, lambda: Credentials("a", "b"), endpoint=f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(Unavailable, match=said) as told:
            asking.of_cluster("c")
    assert "ecs:DescribeClusters" in told.value.remedy


@given(st.binary(max_size=60), st.recursive(st.none() | st.text(), lambda s: st.lists(s) | st.dictionaries(
    st.sampled_from(["tags", "key", "value"]), s)))  # fmt: skip
def test_any_answer_is_read_or_refused(raw, document):
    """Nothing else than ValueError."""
    try:
        parse_answer(raw)
    except ValueError:
        pass
    if isinstance(document, dict):
        assert all(isinstance(k, str) and isinstance(v, str) for k, v in read_tags(document).items())


def tell(hosted, api) -> list:
    """Two containers, each of one of the tasks that the API knows."""
    tasks = [TaskFacts(TaskView(arn, CLUSTER, "web", "1"), ()) for arn in api.arns]
    made = []
    for mnt_ns, arn in enumerate(api.arns, 1):
        made.append(hosted.containers.see(mnt_ns, f"0::/ecs/{arn.rpartition('/')[2]}/{mnt_ns:064x}", 1, 1))
    hosted.containers.learn_tasks(tasks, cluster=CLUSTER)
    return made


def test_a_tag_excludes_a_task(hosted, api):
    """Guarded until it is known; the other task of the family stays guarded; a changed tag is seen later."""
    environ = {**KEYS, "AWS_ENDPOINT_URL_ECS": api.uri}
    selecting = Selecting(Selection(exclude=["task-tag:OutriderManaged=false"]), reach=reach_ecs(environ))
    selecting.begin(hosted)
    plain, tagged = tell(hosted, api)
    assert plain.choice.awaits and tagged.choice.awaits
    hosted.work(selecting.chore, lambda: not tagged.choice.awaits)
    assert (plain.choice.excluded_by, tagged.choice.excluded_by) == ("", "exclude task-tag:OutriderManaged=false")
    assert not plain.choice.awaits
    assert selecting.status() == {
        "selectors": {"include": (), "exclude": ("task-tag:OutriderManaged=false",)},
        "tags_error": "",
    }


def test_a_clusters_tag_includes_all_its_tasks(hosted, api):
    """And no other kind of tag is asked for."""
    environ = {**KEYS, "AWS_ENDPOINT_URL": api.uri}
    for pattern, excluded_by in (("pay*", ""), ("other", "include cluster-tag:Team=other")):
        selecting = Selecting(Selection(include=[f"cluster-tag:Team={pattern}"]), reach=reach_ecs(environ))
        selecting.begin(hosted)
        plain, tagged = tell(hosted, api)
        hosted.work(selecting.chore, lambda: not plain.choice.awaits)  # noqa: B023
        assert plain.choice.excluded_by == tagged.choice.excluded_by == excluded_by
        assert not selecting._tasks


class Flaky:
    """An API that fails until it is told to answer; counts what it is asked."""

    def __init__(self) -> None:
        self.works = False
        self.asked = 0

    def of_cluster(self, cluster):
        raise AssertionError("nobody asked for it")

    def of_tasks(self, cluster, arns):
        self.asked += 1
        if not self.works:
            raise Unavailable("no way to the ECS API")
        return {arn: {"OutriderManaged": "false"} for arn in arns}


def test_unknown_tags_mean_guarded_and_that_is_said_once(hosted, monkeypatch):
    """While the API cannot be reached; when it can, the tags count."""
    monkeypatch.setattr("outrider_sidecar.selecting.RETRY_S", (0.01, 0.01))
    flaky = Flaky()
    selecting = Selecting(Selection(exclude=["task-tag:OutriderManaged=false"]), reach=lambda _: flaky)
    selecting.begin(hosted)
    app = hosted.containers.see(1, f"0::/ecs/{WEB}/{IDS['app']}", 1, 1)
    hosted.containers.learn_tasks([TaskFacts(TaskView(f"arn:aws:ecs:{REGION}:1:task/{CLUSTER}/{WEB}", CLUSTER, "web"))])
    hosted.work(selecting.chore, lambda: flaky.asked > 3)
    assert (app.choice.excluded_by, selecting.error) == ("", "no way to the ECS API")
    assert [e.standing for e in hosted.events] == [True]
    assert "guarded" in hosted.events[0].reason
    flaky.works = True
    hosted.work(selecting.chore, lambda: app.choice.excluded_by)
    assert selecting.error == ""
    asked = flaky.asked
    for _ in range(50):
        selecting.chore(hosted)
    assert flaky.asked == asked


def test_tags_that_no_selector_names_are_not_asked_for(hosted):
    """No call, no permission needed."""
    selecting = Selecting(Selection(exclude=["family=web"]), reach=lambda _: pytest.fail("asked"))
    selecting.begin(hosted)
    hosted.containers.see(1, f"0::/ecs/{WEB}/{IDS['app']}", 1, 1)
    hosted.containers.learn_tasks([TaskFacts(TaskView(f"arn:aws:ecs:{REGION}:1:task/{CLUSTER}/{WEB}", CLUSTER, "web"))])
    selecting.chore(hosted)
    assert len(hosted.containers.excluded()) == 1
