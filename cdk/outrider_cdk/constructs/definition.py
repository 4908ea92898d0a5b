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
"""

from collections.abc import Callable, Mapping
from typing import Any

import jsii
from aws_cdk import IStableStringProducer, Lazy, Stack, Token
from aws_cdk import aws_ecs as ecs

from outrider_cdk.rewriting import Append, Edit, Insert, Replace
from outrider_cdk.rewriting.casing import edits_to_template
from outrider_cdk.rewriting.shapes import as_list, as_object, is_intrinsic

Json = dict[str, Any]


class Tokens:
    """Values as the rewriter may read them, and the way back to the tokens that they were."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: dict[int, tuple[Any, str]] = {}

    def resolve(self, text: str) -> Any:
        """The text, or the object that it will be in the template."""
        if not Token.is_unresolved(text):
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

    def remember_logging(self, definition: Mapping[str, Any], construct: ecs.TaskDefinition | None) -> None:
        """The sidecar's log may be a copy of another container's: its options have tokens, too."""
        for container in as_list(definition.get("containerDefinitions")):
            options = as_object(as_object(as_object(container).get("logConfiguration")).get("options"))
            if construct is None or not any(is_intrinsic(value) for value in options.values()):
                continue
            found = construct.find_container(str(container.get("name")))
            config = found.log_driver_config if found is not None else None
            for key, text in ((config.options if config is not None else None) or {}).items():
                if key in options and is_intrinsic(options[key]):
                    self._known[id(options[key])] = (options[key], text)


def construct_of(definition: ecs.CfnTaskDefinition) -> ecs.TaskDefinition | None:
    """The construct that made the resource; None where somebody wrote the resource itself."""
    above = definition.node.scope
    return above if isinstance(above, ecs.TaskDefinition) else None


@jsii.implements(IStableStringProducer)
class Moment:
    """A lazy `PidMode` that is what it was, and has something done when CDK asks for it."""

    def __init__(self, definition: ecs.CfnTaskDefinition, then: Callable[[Json], None]) -> None:
        """`then` is given the definition, once."""
        self._definition, self._then = definition, then
        self._pid_mode = definition.pid_mode
        definition.pid_mode = Lazy.string(self)

    def produce(self) -> str | None:
        """Called by CDK when it resolves the resource."""
        resolved = Stack.of(self._definition).resolve({**self._definition._cfn_properties, "pidMode": self._pid_mode})
        self._then({key: value for key, value in resolved.items() if value is not None})
        return self._pid_mode


def change(
    definition: ecs.CfnTaskDefinition, before: Mapping[str, Any], edits: tuple[Edit, ...], tokens: Tokens
) -> None:
    """Make the rewriter's edits."""
    for api, edit in zip(edits, edits_to_template(edits), strict=True):
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
