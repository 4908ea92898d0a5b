"""`GuardAspect`: every task definition below a construct is guarded, whoever made it; `GuardedOne` is for a single one.

They come after other aspects, so that tags which those set count; containers may be added until the very end.

An aspect that is written in Python is called from Node.js for each construct of the app, and answers there: some ten
calls for each definition, of which one matters. So `GuardAspect` is made of CDK's own aspect for tags, which walks in
Node.js and asks for what bears tags only, as every definition does. `RemoveTag` is the harmless one of the two: what it
would do by itself, were it not overridden, is to take away a tag that nobody has.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsii
from aws_cdk import Annotations, IAspect, RemoveTag
from aws_cdk import aws_ecs as ecs
from constructs import IConstruct

from outrider_cdk.constructs.choices import Choices
from outrider_cdk.constructs.definition import construct_of, told_by
from outrider_cdk.constructs.guarding import GUARDS, Guard
from outrider_cdk.constructs.last_look import look_at
from outrider_cdk.managed import MANAGED_TAG

PRIORITY: Final = 900
"""After AspectPriority.MUTATING (200) and DEFAULT (500), before READONLY (1000)."""
MANAGED: Final = MANAGED_TAG
"""The tag that says `true` or `false`, on definitions here as on clusters with `outrider inject`."""
_NO_TAG: Final = "OutriderGuardAspect"
"""The tag that `RemoveTag` is made for: nobody has it, and nothing is done with it."""


@jsii.implements(IAspect)
class GuardedOne:
    """Guards the definition that it was made for."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def visit(self, node: IConstruct) -> None:
        """Called for the definition's resource, which has nothing below it."""
        if isinstance(node, ecs.CfnTaskDefinition):
            self._guard.prepare(node.pid_mode)
            look_at(self._guard)


class GuardAspect(RemoveTag):
    """Guards every task definition that it meets: those of L3 patterns, and bare resources, too.

    `include`: tags that a definition must have, all of them; empty guards all. `exclude`: tags of which one is enough
    to leave it alone, which wins. Tags of an app, a stack or a service count for the definitions below it.
    """

    def __init__(
        self, choices: Choices, *, include: Mapping[str, str] | None = None, exclude: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(_NO_TAG)
        self.choices = choices
        self.include = dict(include or {})
        self.exclude = dict(exclude if exclude is not None else {MANAGED: "false"})
        self.guards: list[Guard] = []
        self._said: set[str] = set()

    def _apply_tag(self, resource: Any) -> None:
        """Called for each construct that has tags, below the one that this was added to. Any: CDK's own interface."""
        if isinstance(resource, ecs.CfnTaskDefinition):
            self._meet(resource)

    def _apply_tag_v2(self, resource: Any) -> None:
        """Called in place of the other for constructs that have them by CDK's newer interface."""
        self._apply_tag(resource)

    def _meet(self, definition: ecs.CfnTaskDefinition) -> None:
        construct = construct_of(definition)
        home = construct or definition
        if home in GUARDS:
            return  # guarded by itself, with choices of its own
        tags, pid_mode = told_by(definition)
        if why := self._why_not(tags):
            Annotations.of(home).add_info_v2("outrider:left-out", f"Outrider: this task is not guarded: {why}.")
            return
        made = Guard(definition, construct, self.choices, self._said)
        self.guards.append(made)
        made.prepare(pid_mode)
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
