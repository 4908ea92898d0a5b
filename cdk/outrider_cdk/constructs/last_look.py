"""A last look at an app before it is written: what only the services tell, and whether what was judged still holds."""

from typing import Any
from weakref import WeakKeyDictionary

import jsii
from aws_cdk import Stack, Stage
from aws_cdk import aws_ecs as ecs
from constructs import IValidation

from outrider_cdk.constructs.definition import count_containers
from outrider_cdk.constructs.guarding import Guard, annotate
from outrider_cdk.rewriting.checks.elsewhere import check_service


@jsii.implements(IValidation)
class LastLook:
    """Looks at the guarded definitions of one app or stage, and at its services, once for all."""

    def __init__(self, stage: Stage) -> None:
        self.guards: list[Guard] = []
        self._stage = stage

    def validate(self) -> list[str]:
        """What must not be written at all, as CDK wants it told; what the services say is annotated."""
        guarded = {_reference(guard.definition): guard for guard in self.guards if guard.containers is not None}
        if not guarded:
            return []
        errors = [said for guard in guarded.values() for said in _late_containers(guard)]
        for node in self._stage.node.find_all():
            if isinstance(node, ecs.CfnService):
                _look_at_service(node, guarded)
        return errors


_LOOKS: WeakKeyDictionary[Stage, LastLook] = WeakKeyDictionary()


def look_at(guard: Guard) -> None:
    """Have the app look at this definition once more at its end."""
    stage = Stage.of(guard)
    if stage is None:
        return
    look = _LOOKS.get(stage)
    if look is None:
        look = _LOOKS[stage] = LastLook(stage)
        stage.node.add_validation(look)
    if guard not in look.guards:
        look.guards.append(guard)


def _late_containers(guard: Guard) -> list[str]:
    found = count_containers(guard.definition)
    if found == guard.containers:
        return []
    now = f"{guard.containers} containers when it was guarded and has {found} now"
    why = "an aspect with a priority over 900 adds some; give that a lower one"
    return [f"Outrider: {guard.node.path}: the task had {now}: {why}. [late-container]"]


def _look_at_service(service: ecs.CfnService, guarded: dict[str, Guard]) -> None:
    """A service of a guarded definition: its platform version, and ECS Exec."""
    told: dict[str, Any] = Stack.of(service).resolve(service._cfn_properties)
    guard = guarded.get(_key(Stack.of(service), told.get("taskDefinition")))
    if guard is None:
        return
    for problem in check_service(told):
        annotate(service, problem)


def _reference(definition: ecs.CfnTaskDefinition) -> str:
    stack = Stack.of(definition)
    return _key(stack, stack.resolve(definition.ref))


def _key(stack: Stack, reference: Any) -> str:
    return f"{stack.node.addr} {reference}"
