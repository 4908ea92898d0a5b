"""`GuardAspect`: every task definition below a construct is guarded, whoever made it; `GuardedOne` is for a single one.

They come after other aspects, so that tags which those set count; containers may be added until the very end.
"""

from collections.abc import Mapping
from typing import Final

import jsii
from aws_cdk import Annotations, IAspect
from aws_cdk import aws_ecs as ecs
from constructs import IConstruct

from outrider_cdk.constructs.choices import Choices
from outrider_cdk.constructs.definition import construct_of
from outrider_cdk.constructs.guarding import GUARDS, Guard
from outrider_cdk.constructs.last_look import look_at
from outrider_cdk.templates.plan import MANAGED_TAG

PRIORITY: Final = 900
"""After AspectPriority.MUTATING (200) and DEFAULT (500), before READONLY (1000)."""
MANAGED: Final = MANAGED_TAG
"""The tag that says `true` or `false`, on definitions here as on clusters with `outrider inject`."""


@jsii.implements(IAspect)
class GuardedOne:
    """Guards the definition that it was made for."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def visit(self, node: IConstruct) -> None:
        """Called for each construct at and below the definition's."""
        if isinstance(node, ecs.CfnTaskDefinition):
            self._guard.prepare()
            look_at(self._guard)


@jsii.implements(IAspect)
class GuardAspect:
    """Guards every task definition that it meets: those of L3 patterns, and bare resources, too.

    `include`: tags that a definition must have, all of them; empty guards all. `exclude`: tags of which one is enough
    to leave it alone, which wins. Tags of an app, a stack or a service count for the definitions below it.
    """

    def __init__(
        self, choices: Choices, *, include: Mapping[str, str] | None = None, exclude: Mapping[str, str] | None = None
    ) -> None:
        self.choices = choices
        self.include = dict(include or {})
        self.exclude = dict(exclude if exclude is not None else {MANAGED: "false"})
        self.guards: list[Guard] = []
        self._said: set[str] = set()

    def visit(self, node: IConstruct) -> None:
        """Called for each construct below the one that this was added to."""
        if not isinstance(node, ecs.CfnTaskDefinition):
            return
        construct = construct_of(node)
        home = construct or node
        if home in GUARDS:
            return  # guarded by itself, with choices of its own
        if why := self._why_not(node.tags.tag_values() if self.include or self.exclude else {}):
            Annotations.of(home).add_info_v2("outrider:left-out", f"Outrider: this task is not guarded: {why}.")
            return
        made = Guard(node, construct, self.choices, self._said)
        self.guards.append(made)
        made.prepare()
        look_at(made)

    def _why_not(self, tags: Mapping[str, str]) -> str:
        """Why a definition with these tags is left alone; empty where it is to be guarded."""
        for name, value in self.exclude.items():
            if tags.get(name) == value:
                return f"its tag {name} is {value}"
        for name, value in self.include.items():
            if tags.get(name) != value:
                return f"it has no tag {name}={value}"
        return ""
