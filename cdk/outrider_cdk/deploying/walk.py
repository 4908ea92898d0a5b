"""A walk over clusters: each service's definition rewritten, registered once, and the service pointed at it.

One refusal or one failure stops nothing but its own service. What is tagged OutriderManaged decides: the definition's
tag before the service's before the cluster's; without any, `by_default` does.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from outrider_cdk.deploying import definitions, services
from outrider_cdk.deploying.aws import Client
from outrider_cdk.deploying.services import Cluster, Service
from outrider_cdk.managed import MANAGED_TAG
from outrider_cdk.rewriting import Problem
from outrider_cdk.rewriting.checks.elsewhere import check_service
from outrider_cdk.rewriting.ours import find_sidecar
from outrider_cdk.templates.plan import Wish
from outrider_wire.errors import ConfigError, Unavailable

Tags = Mapping[str, str]
Outcome = Literal["guarded", "removed", "unchanged", "refused", "failed", "left out", "registered", "unguarded"]

_ELSEWHERE: Final = ("CODE_DEPLOY", "EXTERNAL")
"""Deployment controllers that UpdateService may not give another definition."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one service, or of the tasks of one definition that run outside of services."""

    cluster: str
    service: str
    definition: str
    outcome: Outcome
    why: str = ""
    registered: str = ""
    deployment: str = ""
    problems: tuple[Problem, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How to go over clusters. `wish` has the options, and the names of services that are wanted and not.

    `by_default` is what becomes of what no tag speaks of; `dry_run` registers and updates nothing; `update` lets
    services run the new revisions; `wait` waits for each that was updated.
    """

    wish: Wish
    by_default: bool = True
    dry_run: bool = False
    update: bool = True
    wait: bool = False

    def over(self, ecs: Client, clusters: list[Cluster], say: Callable[[Row, int, int], None]) -> list[Row]:
        """Every row; `say` is told of each as it comes, with its number and how many there are in its cluster."""
        rows: list[Row] = []
        made: dict[str, Made] = {}
        for cluster in clusters:
            try:
                found = list(services.services(ecs, cluster.arn))
            except (ConfigError, Unavailable) as error:
                rows.append(Row(cluster.name, "", "", "failed", str(error)))
                continue
            for number, service in enumerate(found, 1):
                row = self.one(ecs, service, cluster.tags, made, cluster.name)
                rows.append(row)
                say(row, number, len(found))
            rows += self._lone(ecs, cluster)
        return [self.awaited(ecs, row) for row in rows]

    def one(self, ecs: Client, service: Service, tags: Tags | None, made: dict[str, "Made"], cluster: str = "") -> Row:
        """One service; `tags` are its cluster's, None for one that was asked for by name, whose tags are not asked.

        `made` remembers the definitions that several services run.
        """
        blank = Row(cluster or definitions.short(service.cluster), service.name, service.definition, "unchanged")
        try:
            return self._judged(ecs, service, tags, made, blank)
        except (ConfigError, Unavailable) as error:
            return _with(blank, "failed", str(error))

    def _judged(self, ecs: Client, service: Service, tags: Tags | None, made: dict[str, "Made"], blank: Row) -> Row:
        if tags is not None and (why := self.wish.why_not(service.name)):
            return _with(blank, "left out", why)
        if service.status not in ("", "ACTIVE"):
            return _with(blank, "left out", f"the service is {service.status}")
        if not service.definition:
            return _with(blank, "left out", "the service has task sets, whose definitions are deployed from outside")
        described = definitions.describe(ecs, service.definition)
        if tags is not None and (why := why_not(described.tags, service.tags, tags, by_default=self.by_default)):
            return _with(blank, "left out", why)
        if _is_outrider(described.document["taskDefinition"]):
            return _with(blank, "left out", "it is Outrider itself")
        problems = (
            [] if self.wish.options is None else list(check_service(service.answer, path=("service", service.name)))
        )
        if refusal := next((each for each in problems if each.severity == "error"), None):
            return _with(blank, "refused", f"{refusal.says} {refusal.remedy}", problems=tuple(problems))
        new = made.get(described.arn)
        if new is None:
            new = made[described.arn] = self.make(ecs, described)
        said = (*new.problems, *problems)
        if new.outcome != "registered":
            return _with(blank, new.outcome, new.why, problems=said)
        done: Outcome = "guarded" if self.wish.options is not None else "removed"
        if self.dry_run:
            return _with(blank, done, "would be", problems=said)
        if not self.update:
            return _with(blank, "registered", "the service was not updated", registered=new.arn, problems=said)
        if service.controller in _ELSEWHERE:
            why = f"deploy this revision by {service.controller}, which alone may update the service"
            return _with(blank, "registered", why, registered=new.arn, problems=said)
        deployment = services.update(ecs, service, new.arn)
        return _with(blank, done, registered=new.arn, deployment=deployment, problems=said)

    def make(self, ecs: Client, described: definitions.Described) -> "Made":
        """The rewritten definition registered, once for all services that run it."""
        rewritten = definitions.rewritten(described, self.wish.options)
        if rewritten.refused:
            first = next(each for each in rewritten.problems if each.severity == "error")
            return Made("refused", f"{first.says} {first.remedy}", problems=rewritten.problems)
        if not rewritten.edits:
            why = "it is not guarded" if self.wish.options is None else "it is guarded already"
            return Made("unchanged", why, problems=rewritten.problems)
        arn = "" if self.dry_run else definitions.register(ecs, rewritten.definition)
        return Made("registered", arn=arn, problems=rewritten.problems)

    def _lone(self, ecs: Client, cluster: Cluster) -> Iterator[Row]:
        """What runs in a cluster and is no service's: told, not touched."""
        definition = ""
        try:
            for definition, count in sorted(services.lone_tasks(ecs, cluster.arn).items()):
                described = definitions.describe(ecs, definition)
                tasks = f"{count} task{'s' * (count > 1)} outside of services"
                if why := why_not(described.tags, {}, cluster.tags, by_default=self.by_default):
                    yield Row(cluster.name, "", definition, "left out", f"{tasks}: {why}")
                elif find_sidecar(described.document["taskDefinition"]) is not None:
                    yield Row(cluster.name, "", definition, "unchanged", f"{tasks}: guarded already")
                else:
                    yield Row(cluster.name, "", definition, "unguarded", f"{tasks}; guard the definition by its ARN")
        except (ConfigError, Unavailable) as error:
            yield Row(cluster.name, "", definition, "failed", f"tasks outside of services: {error}")

    def awaited(self, ecs: Client, row: Row) -> Row:
        """The row once its service is steady, where that was asked for."""
        if not row.deployment or not self.wait:
            return row
        try:
            for service in services.described(ecs, row.cluster, [row.service]):
                services.wait(ecs, service)
        except (ConfigError, Unavailable) as error:
            return _with(row, "failed", str(error), registered=row.registered, deployment=row.deployment)
        return row


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one revision."""

    outcome: Outcome
    why: str = ""
    arn: str = ""
    problems: tuple[Problem, ...] = ()


def why_not(*tags: Tags, by_default: bool) -> str:
    """Why tags leave something out, the closest first: the definition's, the service's, the cluster's; else empty."""
    for whose, found in zip(("definition", "service", "cluster"), tags, strict=True):
        said = found.get(MANAGED_TAG, "").strip().lower()
        if said == "true":
            return ""
        if said == "false":
            return f"the {whose} is tagged {MANAGED_TAG}={found[MANAGED_TAG]}"
        if said:
            return f"the {whose} is tagged {MANAGED_TAG}={found[MANAGED_TAG]}, which is neither true nor false"
    return "" if by_default else f"nothing is tagged {MANAGED_TAG}=true"


def _is_outrider(definition: Mapping[str, Any]) -> bool:
    """Whether a definition is the agent of a whole machine."""
    containers = definition.get("containerDefinitions") or ()
    settings = [(each.get("name"), each.get("value")) for one in containers for each in one.get("environment") or ()]
    return len(containers) == 1 and ("OUTRIDER_MODE", "host") in settings


def _with(
    row: Row,
    outcome: Outcome,
    why: str = "",
    *,
    registered: str = "",
    deployment: str = "",
    problems: tuple[Problem, ...] = (),
) -> Row:
    return Row(row.cluster, row.service, row.definition, outcome, why, registered, deployment, problems or row.problems)
