"""Where in a tree a path leads, and whether that place can be edited without another changing with it."""

from outrider_cdk.editing.errors import Uneditable, line_of
from outrider_cdk.editing.nodes import Alias, Mapping, Node, Sequence, children, key_is, resolved
from outrider_cdk.editing.plain import long_form
from outrider_cdk.rewriting.problems import Path


def find(root: Node, path: Path, text: str, aliases: dict[int, Alias], *, whole: bool = False) -> Node:
    """The node at a path, through no alias, tag or merge, and that nothing else stands for: `aliases_of` tells.

    With `whole` the last one may be an alias, or have a tag.

    Raises Uneditable, in words for the one who wrote the text, where it is not there or not written out.
    """
    node = root
    for depth, step in enumerate(path):
        found = _step(node, step)
        if found is None:
            says = "is not written there itself: it comes from `<<`, or is not there"
            remedy = "write it out at this place"
            raise Uneditable(path[: depth + 1], says, remedy=remedy, line=line_of(text, node.start))
        last = whole and depth == len(path) - 1
        if (isinstance(found, Alias) or found.tag) and not last:
            raise Uneditable(
                path[: depth + 1],
                f"stands for something else (`{text[found.start : found.end].split(None, 1)[0]}`)",
                remedy="write it out at this place",
                line=line_of(text, found.start),
            )
        if id(found) in aliases:
            name, line = aliases[id(found)].name, line_of(text, aliases[id(found)].start)
            says = f"is taken over elsewhere by `*{name}` in line {line}, which would change with it"
            raise Uneditable(path[: depth + 1], says, remedy=f"write out what `*{name}` stands for")
        node = found
    return node


def place_of(root: Node, path: Path) -> int:
    """Where the text of what is at a path begins, with its key; of as much of the path as is there."""
    node, at = resolved(root), root.start
    for step in path:
        if step == _function_of(node):
            continue  # a short tag such as `!If`, whose long form is a key of the path
        match node:
            case Mapping():
                entry = next((each for each in node.entries if key_is(each, step)), None)
                if entry is None:
                    return at
                at, node = entry.key.start, resolved(entry.value)
            case Sequence() if isinstance(step, int) and 0 <= step < len(node.items):
                item = node.items[step]
                at, node = item.start, resolved(item)
            case _:
                return at
    return at


def _function_of(node: Node) -> str:
    """The long form of a node's short tag; empty where it has none."""
    tag = "" if isinstance(node, Alias) else node.tag
    return next(iter(long_form(tag, None))) if tag else ""


def aliases_of(root: Node) -> dict[int, Alias]:
    """Every node that an alias stands for, by its identity, with one of its aliases."""
    found: dict[int, Alias] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Alias):
            found[id(node.target)] = node
        waiting += children(node)
    return found


def _step(node: Node, step: str | int) -> Node | None:
    match node:
        case Mapping():
            return next((each.value for each in node.entries if key_is(each, step)), None)
        case Sequence() if isinstance(step, int) and 0 <= step < len(node.items):
            return node.items[step]
    return None
