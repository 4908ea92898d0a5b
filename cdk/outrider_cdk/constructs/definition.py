"""One task definition of an app: read as the rewriter reads it, and changed as the rewriter says.

Facts that shape this file:

- `Stack.resolve` gives a definition's properties with the API's names. What somebody put in by
  `add_property_override` is not among them and cannot be seen.
- CDK remembers what a lazy value was the first time that it was resolved. Were a definition resolved in an aspect,
  containers and variables that other aspects add afterwards would be lost without a word. So it is read when CDK itself
  resolves it, after all aspects: a lazy `PidMode` is how we learn of that moment.
- A reference to another stack becomes an import only where its token is still one. So resolved values are for judging;
  what is written into the template gets the tokens again, found by the identity of the value they resolved to.
- An override beyond the end of the list of containers is one container more; overrides that are made while a resource
  is being resolved are still in it.
- Each property that is read, and each method, is a question to Node.js and its answer, half a millisecond of processor
  time in all. So a definition's own fields are read together, and what is the same for many is asked once.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import jsii
from aws_cdk import IStableStringProducer, Lazy, Stack
from aws_cdk import aws_ecs as ecs

from outrider_cdk.rewriting import Append, Edit, Insert, Replace
from outrider_cdk.rewriting.casing import edits_to_template, to_api
from outrider_cdk.rewriting.shapes import as_list, is_intrinsic

Json = dict[str, Any]
TOKEN: Final = "${Token["
"""How a value that is known later looks in a text (`Token.is_unresolved`, without a call into Node.js)."""
PID_MODE: Final = ("pidMode",)


class Tokens:
    """Values as the rewriter may read them, and the way back to the tokens that they were."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: dict[int, tuple[Any, str]] = {}

    def resolve(self, text: str) -> Any:
        """The text, or the object that it will be in the template."""
        if TOKEN not in text:
            return text
        value = self._stack.resolve(text)
        self._known[id(value)] = (value, text)
        return value

    def restore(self, value: Any) -> Any:
        """The value with the tokens in it again."""
        if id(value) in self._known:
            return self._known[id(value)][1]
        if isinstance(value, list):
            return [self.restore(entry) for entry in value]
        if isinstance(value, dict) and not is_intrinsic(value):
            return {key: self.restore(entry) for key, entry in value.items()}
        return value

    def remember(self, resolved: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        """Resolved values are to become these texts again, key by key."""
        for key, text in texts.items():
            if key in resolved and is_intrinsic(resolved[key]):
                self._known[id(resolved[key])] = (resolved[key], text)


def told_by(definition: ecs.CfnTaskDefinition) -> tuple[Mapping[str, str], str | None]:
    """Its tags, and its `pidMode`, as they are now; nothing is resolved by that."""
    properties = definition._cfn_properties
    tags = [tag for tag in as_list(properties.get("tags")) if isinstance(tag, dict)]
    return {str(tag.get("key")): str(tag.get("value")) for tag in tags}, properties.get("pidMode")


Judge = Callable[[Json, Tokens], str | None]
"""Called with a definition when it is known; gives another `PidMode`, or None."""


def construct_of(definition: ecs.CfnTaskDefinition) -> ecs.TaskDefinition | None:
    """The construct that made the resource; None where somebody wrote the resource itself."""
    above = definition.node.scope
    return above if isinstance(above, ecs.TaskDefinition) else None


@jsii.implements(IStableStringProducer)
class Moment:
    """A lazy `PidMode` that has something done when CDK asks for it, and is what comes out of that.

    It is asked once: CDK keeps the answer.
    """

    def __init__(self, definition: ecs.CfnTaskDefinition, stack: Stack, pid_mode: str | None, then: Judge) -> None:
        self._definition, self._stack, self._pid_mode, self._then = definition, stack, pid_mode, then
        definition.pid_mode = Lazy.string(self)

    def produce(self) -> str | None:
        """Called by CDK when it resolves the resource."""
        properties = {**self._definition._cfn_properties, "pidMode": self._pid_mode}
        known = to_api(self._stack.resolve(properties))  # within Fn::If, CDK leaves CloudFormation's names
        resolved = {key: value for key, value in known.items() if value is not None}
        return self._then(resolved, Tokens(self._stack)) or self._pid_mode


def change(
    definition: ecs.CfnTaskDefinition, before: Mapping[str, Any], edits: tuple[Edit, ...], tokens: Tokens
) -> None:
    """Make the rewriter's edits, but for the one of `pidMode`."""
    for api, edit in zip(edits, edits_to_template(edits), strict=True):
        if api.path == PID_MODE:
            continue
        match edit:
            case Append(path, value):
                at = (*path, _length(before, api.path))
            case Insert(path, value) | Replace(path, value):
                at = path
            case _:
                raise ValueError(f"guarding deletes nothing, but was to: {edit}")
        definition.add_property_override(".".join(map(str, at)), tokens.restore(value))


def _length(before: Mapping[str, Any], path: tuple[str | int, ...]) -> int:
    value: Any = before
    for part in path:
        value = value[part]
    return len(value)
