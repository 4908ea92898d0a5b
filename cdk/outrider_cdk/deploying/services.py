"""Services in ECS: list them however many there are, point one at another revision, wait until it is steady."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from outrider_cdk.deploying.aws import Client, asking
from outrider_cdk.deploying.definitions import tags_of
from outrider_wire.errors import ConfigError

PAGE: Final = 100
"""Most names that ListServices, ListClusters and ListTasks give at once."""
DESCRIBED: Final = 10
"""Most services that DescribeServices takes at once."""
DESCRIBED_CLUSTERS: Final = 100
DESCRIBED_TASKS: Final = 100
WAIT_STEP_S: Final = 15
WAIT_STEPS: Final = 80
"""Twenty minutes, twice botocore's own patience: a service of many tasks takes its time."""

Answer = Mapping[str, Any]
"""Any: what ECS answers, read field by field."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as far as it matters here."""

    arn: str
    name: str
    cluster: str
    definition: str
    controller: str
    status: str
    answer: Answer = field(repr=False)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return tags_of(self.answer)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with its tags."""

    arn: str
    name: str
    tags: Mapping[str, str]


def clusters(ecs: Client, names: Iterable[str] = ()) -> list[Cluster]:
    """The clusters of these names, or all of the region. Raises ConfigError for a name that is none."""
    wanted = list(names)
    if not wanted:
        with asking("listing clusters"):
            pages = ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": PAGE})
            wanted = [arn for page in pages for arn in page["clusterArns"]]
    found: list[Cluster] = []
    for some in _batches(wanted, DESCRIBED_CLUSTERS):
        with asking("reading clusters"):
            answer = ecs.describe_clusters(clusters=some, include=["TAGS"])
        found += [Cluster(each["clusterArn"], each["clusterName"], tags_of(each)) for each in answer["clusters"]]
        for failure in answer.get("failures") or ():
            raise ConfigError(f"there is no cluster {failure.get('arn')} ({failure.get('reason')})")
    return found


def services(ecs: Client, cluster: str) -> Iterator[Service]:
    """Every service of a cluster."""
    with asking(f"listing the services of {cluster}"):
        pages = ecs.get_paginator("list_services").paginate(cluster=cluster, PaginationConfig={"PageSize": PAGE})
        arns = [arn for page in pages for arn in page["serviceArns"]]
    for some in _batches(arns, DESCRIBED):
        yield from described(ecs, cluster, some)


def described(ecs: Client, cluster: str, names: list[str]) -> list[Service]:
    """Services by name or ARN, at most DESCRIBED of them. Raises ConfigError for one that is not there."""
    with asking(f"reading services of {cluster}"):
        answer = ecs.describe_services(cluster=cluster, services=names, include=["TAGS"])
    for failure in answer.get("failures") or ():
        raise ConfigError(f"there is no service {failure.get('arn')} ({failure.get('reason')})")
    return [_service(each) for each in answer["services"]]


def _service(each: Answer) -> Service:
    return Service(
        str(each["serviceArn"]),
        str(each["serviceName"]),
        str(each.get("clusterArn", "")),
        str(each.get("taskDefinition", "")),
        str((each.get("deploymentController") or {}).get("type", "ECS")),
        str(each.get("status", "")),
        each,
    )


def update(ecs: Client, service: Service, definition: str) -> str:
    """Let a service run another revision; the id of the deployment that brings it. Waits for nothing."""
    with asking(f"updating {service.name}"):
        answer = ecs.update_service(cluster=service.cluster, service=service.arn, taskDefinition=definition)
    deployments = answer["service"].get("deployments") or ()
    return next((str(each.get("id", "")) for each in deployments if each.get("status") == "PRIMARY"), "")


def wait(ecs: Client, service: Service) -> None:
    """Until the service is steady. Raises Unavailable where it is not within twenty minutes."""
    with asking(f"waiting for {service.name}"):
        ecs.get_waiter("services_stable").wait(
            cluster=service.cluster,
            services=[service.arn],
            WaiterConfig={"Delay": WAIT_STEP_S, "MaxAttempts": WAIT_STEPS},
        )


def running(ecs: Client, definition: str) -> Iterator[Service]:
    """The services of every cluster in the region that run this very revision."""
    for cluster in clusters(ecs):
        yield from (each for each in services(ecs, cluster.arn) if each.definition == definition)


def lone_tasks(ecs: Client, cluster: str) -> dict[str, int]:
    """Revisions that run outside of services, with the number of their tasks: schedules, pipelines, people."""
    with asking(f"listing the tasks of {cluster}"):
        pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, PaginationConfig={"PageSize": PAGE})
        arns = [arn for page in pages for arn in page["taskArns"]]
    counts: dict[str, int] = {}
    for some in _batches(arns, DESCRIBED_TASKS):
        with asking(f"reading tasks of {cluster}"):
            answer = ecs.describe_tasks(cluster=cluster, tasks=some)
        for task in answer["tasks"]:
            if not str(task.get("group") or "").startswith("service:"):
                arn = str(task.get("taskDefinitionArn"))
                counts[arn] = counts.get(arn, 0) + 1
    return counts


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    waiting = iter(names)
    while some := list(islice(waiting, size)):
        yield some
