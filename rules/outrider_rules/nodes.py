"""Reading typed values out of nodes: each reader gives its type or notes a problem and gives None."""

from collections.abc import Iterable

from outrider_rules.document import Mapping, Node, Scalar, Sequence
from outrider_rules.problems import Problem, nearest, shown

TRUE = frozenset({"true", "yes", "on", "y"})
FALSE = frozenset({"false", "no", "off", "n"})

MAX_PROBLEMS = 200
"""Most problems reported at once; past them the files are read no further."""

Problems = list[Problem]


def note(problems: Problems, node: Node, message: str, hint: str = "") -> None:
    """Add a problem at the place of a node."""
    problems.append(node.source.problem(node.start, message, hint))


def read_keys(node: Node, what: str, problems: Problems) -> dict[str, tuple[Scalar, Node]]:
    """The keys of a mapping with their values; a key given twice or that is no text is a problem."""
    found: dict[str, tuple[Scalar, Node]] = {}
    if not isinstance(node, Mapping):
        note(problems, node, f"{what} must be a mapping of keys, not {_kind(node)}")
        return found
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            note(problems, key, f"a key of {what} must be a text, not {_kind(key)}")
        elif key.value in found:
            note(problems, key, f"`{shown(key.value)}` is given twice in {what}")
        else:
            found[key.value] = (key, value)
    return found


def refuse_unknown(keys: dict[str, tuple[Scalar, Node]], known: Iterable[str], what: str, problems: Problems) -> None:
    """Note every key that is not known, with the nearest that is."""
    allowed = tuple(known)
    for name, (key, _) in keys.items():
        if name not in allowed and len(problems) < MAX_PROBLEMS:
            hint = nearest(name, allowed) or "known keys: " + ", ".join(allowed)
            note(problems, key, f"{what} has no key `{shown(name)}`", hint)


def read_scalar(node: Node, what: str, problems: Problems) -> Scalar | None:
    """A text that is not empty."""
    if not isinstance(node, Scalar):
        note(problems, node, f"{what} must be a text, not {_kind(node)}")
        return None
    if not node.value.strip():
        note(problems, node, f"{what} is empty")
        return None
    return node


def read_flag(node: Node, what: str, problems: Problems) -> bool | None:
    """`true` or `false`, and YAML 1.1's other words for them."""
    value = node.value.lower() if isinstance(node, Scalar) else ""
    if value in TRUE | FALSE:
        return value in TRUE
    note(problems, node, f"{what} must be true or false")
    return None


def read_word(node: Node, what: str, allowed: Iterable[str], problems: Problems) -> str | None:
    """One of a few words, whatever their case; given back as it stands in `allowed`."""
    words = {word.lower(): word for word in allowed}
    value = node.value.strip().lower() if isinstance(node, Scalar) else ""
    if value in words:
        return words[value]
    note(problems, node, f"{what} must be one of {', '.join(words.values())}", nearest(value, words))
    return None


def read_scalars(node: Node, what: str, problems: Problems) -> list[Scalar] | None:
    """A list of texts."""
    if not isinstance(node, Sequence):
        note(problems, node, f"{what} must be a list, not {_kind(node)}")
        return None
    items: list[Scalar] = []
    for item in node.items:
        if isinstance(item, Scalar):
            items.append(item)
        else:
            note(problems, item, f"{what} may hold texts only, not {_kind(item)}")
            return None
    return items


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "a text" if node.value or node.style else "nothing"
    return "a list" if isinstance(node, Sequence) else "a mapping"
