"""What a document says, as the plain values of JSON: aliases and merges taken in, short tags in their long form."""

from typing import Any, Final, TypeAlias

from outrider_cdk.editing.errors import Unreadable, line_of
from outrider_cdk.editing.nodes import Alias, Mapping, Node, Scalar, Sequence, resolved

MAX_NODES: Final = 250_000
"""Most values in a document, each alias counted as all that it stands for."""

SHORT_TAGS: Final = {"!Ref": "Ref", "!Condition": "Condition"}
"""CloudFormation's short forms that do not become `Fn::…`."""

Plain: TypeAlias = Any
"""Any: what JSON can say, as dicts, lists and plain values."""


def to_plain(root: Node, text: str) -> Plain:
    """What a document says. CloudFormation's short tags become their long forms; nothing is constructed.

    Raises Unreadable for a key that is there twice or is no text or number, and for more than MAX_NODES values.
    """
    return _Reading(text).value_of(root)


class _Reading:
    def __init__(self, text: str) -> None:
        self._text = text
        self._left = MAX_NODES

    def value_of(self, node: Node) -> Plain:
        self._left -= 1
        if self._left < 0:
            raise Unreadable(f"has more than {MAX_NODES} values", remedy="split it")
        match node:
            case Alias():
                return self.value_of(node.target)
            case Scalar():
                value: Plain = node.value
            case Sequence():
                value = [self.value_of(item) for item in node.items]
            case Mapping():
                value = self._mapping(node)
        return long_form(node.tag, value) if node.tag else value

    def _mapping(self, node: Mapping) -> dict[str, Plain]:
        own: dict[Any, Plain] = {}
        merged: dict[Any, Plain] = {}
        for entry in node.entries:
            key = self._key(entry.key)
            if is_merge(entry.key):
                merged = {**self._merged(entry.value), **merged}
            elif key in own:
                line = line_of(self._text, entry.key.start)
                raise Unreadable(f"the key {key!r} is there twice", remedy="remove one of them", line=line)
            else:
                own[key] = self.value_of(entry.value)
        return {**merged, **own} if merged else own

    def _key(self, node: Node) -> str | int | float | bool | None:
        node = resolved(node)
        if not isinstance(node, Scalar):
            raise Unreadable("a key is no plain text", line=line_of(self._text, node.start))
        return node.value

    def _merged(self, node: Node) -> dict[str, Plain]:
        value = self.value_of(node)
        found: dict[str, Plain] = {}
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                raise Unreadable("`<<` merges what is no mapping", line=line_of(self._text, node.start))
            found = {**each, **found}
        return found


def long_form(tag: str, value: Plain) -> Plain:
    """A short tag as CloudFormation writes it out: `!Sub x` is {"Fn::Sub": x}."""
    if tag == "!GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {SHORT_TAGS.get(tag, "Fn::" + tag.lstrip("!")): value}


def is_merge(key: Node) -> bool:
    """Whether a key is YAML's `<<`, which takes another mapping's keys in."""
    return isinstance(key, Scalar) and key.tag == "" and key.value == "<<" and key.end - key.start == 2
