"""`outrider inject --cluster`: a walk over services, decided by tags, that no refusal stops."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stand_in_ecs import OPTIONS, names, runs, serve, web

from outrider_cdk.deploying import services
from outrider_cdk.deploying.aws import Client
from outrider_cdk.deploying.walk import Row, Walk, why_not
from outrider_cdk.managed import MANAGED_TAG
from outrider_cdk.rewriting import GuardOptions
from outrider_cdk.templates import Wish

Inject = Callable[..., tuple[int, str, str]]
NO = [{"key": MANAGED_TAG, "value": "false"}]
YES = [{"key": MANAGED_TAG, "value": "true"}]


def test_a_cluster_is_guarded_but_for_what_is_tagged_or_refused(ecs: Any, inject: Inject) -> None:
    """Tags leave services alone, a refusal stops nothing, and the summary says of each what became of it and why."""
    shared = serve(ecs, "one", web())
    serve(ecs, "two", shared)
    serve(ecs, "left", web(family="left"), tags=NO)
    serve(ecs, "below", web(family="below", tags=NO))
    serve(ecs, "windows", web(family="windows", runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}))
    serve(ecs, "old", web(family="old"), platformVersion="1.3.0", launchType="FARGATE")
    serve(ecs, "blue", web(family="blue"), deploymentController={"type": "CODE_DEPLOY"})
    serve(ecs, "agent", web(family="agent", containerDefinitions=[AGENT], requiresCompatibilities=["EC2"]))
    serve(ecs, "zeta", web(family="zeta"))
    code, out, err = inject("--cluster", "prod", *OPTIONS, "--update")
    assert code == 2
    found = {line[11:].split()[0].removesuffix(":"): line for line in out.splitlines() if "prod/" in line}
    assert found["prod/left"].endswith("the service is tagged OutriderManaged=false")
    assert found["prod/below"].endswith("the definition is tagged OutriderManaged=false")
    assert "refused" in found["prod/windows"] and "Linux containers only" in found["prod/windows"]
    assert "refused" in found["prod/old"] and "1.3.0" in found["prod/old"]
    assert "by CODE_DEPLOY" in found["prod/blue"] and found["prod/blue"].startswith("registered")
    assert found["prod/agent"].endswith("it is Outrider itself")
    assert out.splitlines()[-1] == "3 guarded, 1 registered, 3 left out, 2 refused"
    assert "[9/9] " in err
    guarded = {
        name for name in ("one", "two", "left", "below", "windows", "old", "blue", "zeta") if _guarded(ecs, name)
    }
    assert guarded == {"one", "two", "zeta"}
    assert runs(ecs, "one")["taskDefinition"]["revision"] == runs(ecs, "two")["taskDefinition"]["revision"] == 2


AGENT = {
    "name": "outrider",
    "image": "x",
    "memory": 64,
    "environment": [{"name": "OUTRIDER_MODE", "value": "host"}],
}


def _guarded(ecs: Any, name: str) -> bool:
    return "outrider" in names(runs(ecs, name)["taskDefinition"])


def test_all_clusters_takes_only_what_is_tagged_true(ecs: Any, inject: Inject) -> None:
    """--all-clusters: a cluster, a service or a definition that is tagged true, the closest tag first."""
    ecs.create_cluster(clusterName="tagged", tags=YES)
    serve(ecs, "plain", web())
    serve(ecs, "wanted", web(family="wanted"), tags=YES)
    serve(ecs, "in", web(family="in"), cluster="tagged")
    serve(ecs, "out", web(family="out"), cluster="tagged", tags=NO)
    code, out, _ = inject("--all-clusters", *OPTIONS, "--update")
    assert code == 0
    assert out.splitlines()[-1] == "2 guarded, 2 left out"
    assert "nothing is tagged OutriderManaged=true" in out
    assert "outrider" in names(runs(ecs, "in", "tagged")["taskDefinition"])
    assert [_guarded(ecs, "plain"), _guarded(ecs, "wanted")] == [False, True]


def test_a_dry_run_changes_nothing_and_check_fails(ecs: Any, inject: Inject) -> None:
    """--dry-run tells what would become of each; --check exits with 1 until all is guarded; removal undoes all."""
    serve(ecs, "web", web())
    code, out, _ = inject("--cluster", "prod", *OPTIONS, "--dry-run", "--json")
    row = json.loads(out)[0]
    assert (code, row["outcome"], row["why"]) == (0, "guarded", "would be")
    assert {problem["code"] for problem in row["problems"]} >= {"platform-version"}
    assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 1
    assert inject("--cluster", "prod", *OPTIONS, "--check")[0] == 1
    assert inject("--cluster", "prod", *OPTIONS, "--update")[0] == 0
    assert inject("--cluster", "prod", *OPTIONS, "--check")[0] == 0
    assert inject("--cluster", "prod", "--remove", "--update")[0] == 0
    assert not _guarded(ecs, "web")


def test_tasks_outside_of_services_are_told_of(ecs: Any, inject: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that no service runs are counted, not touched, and told apart from those that are guarded."""
    arn = ecs.register_task_definition(**web(family="batch"))["taskDefinition"]["taskDefinitionArn"]
    tagged = ecs.register_task_definition(**web(family="left", tags=NO))["taskDefinition"]["taskDefinitionArn"]
    monkeypatch.setattr(services, "lone_tasks", lambda ecs, cluster: {arn: 2, tagged: 1})
    code, out, _ = inject("--cluster", "prod", *OPTIONS, "--dry-run")
    assert code == 0
    assert "unguarded  prod: batch:1: 2 tasks outside of services; guard the definition by its ARN" in out
    assert "left out   prod: left:1: 1 task outside of services: the definition is tagged OutriderManaged=false" in out
    inject(arn, *OPTIONS)
    monkeypatch.setattr(services, "lone_tasks", lambda ecs, cluster: {arn.replace("batch:1", "batch:2"): 2})
    _, out, _ = inject("--cluster", "prod", *OPTIONS, "--dry-run")
    assert "unchanged  prod: batch:2: 2 tasks outside of services: guarded already" in out


def test_services_are_chosen_by_name(ecs: Any, inject: Inject) -> None:
    """--only and --leave-out name services of the cluster; the others are said to be left out."""
    serve(ecs, "one", web(family="one"))
    serve(ecs, "two", web(family="two"))
    _, out, _ = inject("--cluster", "prod", *OPTIONS, "--dry-run", "--only", "one")
    assert "left out   prod/two: not asked for" in out
    _, out, _ = inject("--cluster", "prod", *OPTIONS, "--dry-run", "--leave-out", "one")
    assert "left out   prod/one: asked to be left out" in out
    assert inject("one:1", *OPTIONS, "--only", "one")[0] == 2


def test_an_interruption_still_sums_up(ecs: Any, inject: Inject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted, it says what was done until then."""
    serve(ecs, "a", web(family="a"))
    serve(ecs, "b", web(family="b"))
    plain = Walk.one

    def interrupted(self: Walk, ecs: Any, service: services.Service, *rest: Any) -> Row:
        if service.name == "b":
            raise KeyboardInterrupt
        return plain(self, ecs, service, *rest)

    monkeypatch.setattr(Walk, "one", interrupted)
    code, out, err = inject("--cluster", "prod", *OPTIONS, "--update")
    assert (code, "interrupted" in err) == (130, True)
    assert out.splitlines()[-1] == "1 guarded"
    assert _guarded(ecs, "a")


def test_what_is_to_be_done_to_a_cluster_is_said_plainly(inject: Inject) -> None:
    """Neither --dry-run nor --update is misuse, as is a source besides."""
    code, _, err = inject("--cluster", "prod", *OPTIONS)
    assert (code, "--update does it" in err) == (2, True)
    code, _, err = inject("web:1", "--cluster", "prod", *OPTIONS)
    assert (code, "not both" in err) == (2, True)


def test_a_cluster_that_is_not_there_is_said(ecs: Any, inject: Inject) -> None:
    """A misspelt name is misuse, and nothing else is done."""
    code, _, err = inject("--cluster", "prd", *OPTIONS, "--update")
    assert code == 2
    assert "there is no cluster" in err and "prd" in err


class _Paged:
    """An ECS that keeps the real one's limits: pages of lists, and ten services in a question."""

    def __init__(self, count: int) -> None:
        self.names = [f"s{number:03}" for number in range(count)]
        self.asked: list[int] = []

    def get_paginator(self, name: str) -> Any:
        return {"list_services": _Pages("serviceArns", self.names), "list_tasks": _Pages("taskArns", [])}[name]

    def describe_services(self, *, cluster: str, services: list[str], include: list[str]) -> dict[str, Any]:
        assert 1 <= len(services) <= 10
        self.asked.append(len(services))
        found = [{"serviceArn": name, "serviceName": name, "clusterArn": cluster} for name in services]
        return {"services": found, "failures": []}


class _Pages:
    def __init__(self, key: str, every: list[str]) -> None:
        self.key, self.every = key, every

    def paginate(self, *, cluster: str, PaginationConfig: dict[str, int]) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's name
        size = PaginationConfig["PageSize"]
        assert size <= 100
        for start in range(0, len(self.every), size):
            yield {self.key: self.every[start : start + size]}


def test_services_are_listed_however_many_there_are() -> None:
    """Past one page of a list and past ten in a question, every service comes once."""
    paged = _Paged(253)
    assert [each.name for each in services.services(paged, "prod")] == paged.names
    assert sum(paged.asked) == 253


def test_more_services_than_a_page_are_walked(ecs: Any) -> None:
    """A cluster of more than a hundred services with one definition: it is registered once, and all are updated."""
    arn = serve(ecs, "s000", web())
    for number in range(1, 105):
        serve(ecs, f"s{number:03}", arn)
    told: list[tuple[int, int]] = []

    def say(row: Row, number: int, of: int) -> None:
        told.append((number, of))

    walk = Walk(wish=Wish(options=GuardOptions(image="i", collector_url="https://c:8440")))
    rows = walk.over(ecs, services.clusters(ecs, ["prod"]), say)
    assert {row.outcome for row in rows} == {"guarded"}
    assert (len(rows), told[0], told[-1]) == (105, (1, 105), (105, 105))
    assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 2


def test_one_failure_of_aws_is_one_services(ecs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where AWS refuses an update, that service has failed with its reason, and the others go on."""
    serve(ecs, "a", web(family="a"))
    serve(ecs, "b", web(family="b"))
    plain: Client = ecs.update_service
    from botocore.exceptions import ClientError

    def refuse_a(**parameters: Any) -> Any:
        if parameters["service"].endswith("/a"):
            answer = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise ClientError(answer, "UpdateService")
        return plain(**parameters)

    monkeypatch.setattr(ecs, "update_service", refuse_a)
    walk = Walk(wish=Wish(options=GuardOptions(image="i", collector_url="https://c:8440")))
    rows = {row.service: row for row in walk.over(ecs, services.clusters(ecs, ["prod"]), lambda *_: None)}
    assert (rows["a"].outcome, rows["b"].outcome) == ("failed", "guarded")
    assert "AccessDeniedException" in rows["a"].why and "docs/deploy.md" in rows["a"].why


@pytest.mark.parametrize(
    ("definition", "service", "cluster", "by_default", "included"),
    [
        ("", "", "", True, True),
        ("", "", "", False, False),
        ("", "", "false", True, False),
        ("", "true", "false", True, True),
        ("false", "true", "true", True, False),
        ("true", "false", "false", False, True),
        ("", "TRUE", "", False, True),
        ("", "perhaps", "", True, False),
    ],
)
def test_the_closest_tag_decides(definition: str, service: str, cluster: str, by_default: bool, included: bool) -> None:
    """The definition's before the service's before the cluster's; what is no true and no false leaves alone."""
    tags = [{MANAGED_TAG: value} if value else {} for value in (definition, service, cluster)]
    assert (why_not(*tags, by_default=by_default) == "") is included


@pytest.mark.parametrize("how", ["--only", "--leave-out"])
def test_a_misspelt_service_stops_the_walk_before_it_begins(ecs: Any, inject: Inject, how: str) -> None:
    """A service that was to be left alone is not updated because its name was misspelt."""
    serve(ecs, "one", web())
    code, _, err = inject("--cluster", "prod", *OPTIONS, "--update", how, "oen")
    assert code == 2 and "no service is called oen" in err
    assert names(runs(ecs, "one")["taskDefinition"]) == ["web"]
    assert len(ecs.list_task_definitions()["taskDefinitionArns"]) == 1
