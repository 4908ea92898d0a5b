"""A last look at an app before it is written: what only the services of guarded definitions tell."""

from typing import Any
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import Stack, Stage
from aws_cdk import aws_ecs as ecs
from constructs import IValidation

from outrider_cdk.constructs.guarding import Guard, annotate
from outrider_cdk.rewriting.checks.elsewhere import check_service


@jsii.implements(IValidation)
class LastLook:
    """Looks at the services of one app or stage, once for all of its guarded definitions."""

    def __init__(self, stage: Stage) -> None:
        self.guards: list[Guard] = []
        self._stage = stage

    def validate(self) -> list[str]:
        """Nothing that keeps the app from being written: what the services say is annotated, as errors and warnings."""
        guarded = [guard.definition for guard in self.guards if guard.sidecar]
        services = [node for node in self._stage.node.find_all() if isinstance(node, ecs.CfnService)] if guarded else []
        references = {_reference(each) for each in guarded} if services else set()
        for service in services:
            _look_at_service(service, references)
        return []


_LOOKS: WeakKeyDictionary[Stage, LastLook] = WeakKeyDictionary()
_BY_STACK: WeakKeyDictionary[Stack, LastLook] = WeakKeyDictionary()
"""The same looks by the stacks that they are for, so that each stack is asked for its stage once."""


def look_at(guard: Guard) -> None:
    """Have the app look at this definition once more at its end."""
    look = _BY_STACK.get(guard.stack) or _look_of(guard.stack)
    if look is not None:
        look.guards.append(guard)


def _look_of(stack: Stack) -> LastLook | None:
    stage = Stage.of(stack)
    if stage is None:
        return None
    look = _LOOKS.get(stage)
    if look is None:
        look = _LOOKS[stage] = LastLook(stage)
        stage.node.add_validation(look)
    _BY_STACK[stack] = look
    return look


def _look_at_service(service: ecs.CfnService, guarded: set[str]) -> None:
    """A service of a guarded definition: its platform version, and ECS Exec."""
    told: dict[str, Any] = Stack.of(service).resolve(service._cfn_properties)
    if _key(Stack.of(service), told.get("taskDefinition")) in guarded:
        for problem in check_service(told):
            annotate(service, problem)


def _reference(definition: ecs.CfnTaskDefinition) -> str:
    stack = Stack.of(definition)
    return _key(stack, stack.resolve(definition.ref))


def _key(stack: Stack, reference: Any) -> str:
    return f"{stack.node.addr} {reference}"
