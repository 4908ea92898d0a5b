"""What each operator means for one value: the tests that compiled conditions call.

`interpret` says the same in the plainest words; property tests hold the two together.
"""

import operator as op
from collections.abc import Callable
from typing import Any, Final

from outrider_rules.addresses import network_test
from outrider_rules.glob import compile_glob
from outrider_rules.tree import Constant

ElementTest = Callable[[Any], bool]

EQUALITY: Final = ("=", "!=", "in", "intersects", "exists")
ORDER: Final = ("<", "<=", ">", ">=")
TEXT: Final = (
    *("contains", "icontains", "bcontains", "startswith", "bstartswith", "endswith"),
    *("glob", "iglob", "pmatch", "regex"),
)
BY_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "str": (*EQUALITY, *TEXT),
    "int": (*EQUALITY, *ORDER),
    "float": (*EQUALITY, *ORDER),
    "bool": EQUALITY,
    "ip": EQUALITY,
}
"""The operators each type of value has."""

ONE_OF: Final = "oneof "
"""Before an operator: it is to hold for just one of the constants."""

BETWEEN_FIELDS: Final = frozenset(
    {*EQUALITY, *ORDER, "contains", "icontains", "startswith", "endswith", "pmatch"} - {"exists"}
)
"""The operators that may have a field on their right."""

MAX_PATTERN_BYTES: Final = 1 << 20
"""Most memory one regular expression may take, compiled; a larger one is refused."""

_ORDERED: Final[dict[str, Callable[[Any, Any], bool]]] = {"<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}


def regex_engine() -> Any | None:
    """The bounded regular-expression engine, google-re2, or None where it is not installed."""
    try:
        import re2
    except ImportError:
        return None
    return re2


def compile_pattern(engine: Any, pattern: str) -> Any:
    """A pattern for the whole of a text, as Falco matches.

    Raises: ValueError when it is none, or needs more room than `MAX_PATTERN_BYTES`.
    """
    options = engine.Options()
    options.max_mem = MAX_PATTERN_BYTES
    options.log_errors = False
    try:
        return engine.compile(pattern, options)
    except engine.error as error:
        text = error.args[0] if error.args else ""
        raise ValueError(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)) from error


def element_test(kind: str, operator: str, constants: tuple[Constant, ...]) -> ElementTest:
    """A function that tests one value of a type; `!=` and `exists` aside, it holds for any of the constants."""
    if operator.startswith(ONE_OF):
        return _just_one(kind, operator.removeprefix(ONE_OF), constants)
    if kind == "ip":
        inside = network_test(str(constant) for constant in constants)
        return (lambda value: not inside(value)) if operator == "!=" else inside
    if operator == "!=":
        return lambda value: value != constants[0]
    if operator in ("=", "in", "intersects"):
        return frozenset(constants).__contains__
    if operator in _ORDERED:
        compare, bound = _ORDERED[operator], constants[0]
        return lambda value: compare(value, bound)
    return _text_test(operator, tuple(str(constant) for constant in constants))


def _just_one(kind: str, operator: str, constants: tuple[Constant, ...]) -> ElementTest:
    each = [element_test(kind, operator, (constant,)) for constant in constants]
    return lambda value: sum(holds(value) for holds in each) == 1


def _text_test(operator: str, texts: tuple[str, ...]) -> ElementTest:
    first = texts[0] if texts else ""
    if operator in ("contains", "bcontains"):
        return lambda value: first in value
    if operator == "icontains":
        lowered = first.lower()
        return lambda value: lowered in value.lower()
    if operator in ("startswith", "bstartswith"):
        return lambda value: value.startswith(first)
    if operator == "endswith":
        return lambda value: value.endswith(first)
    if operator in ("glob", "iglob"):
        return compile_glob(first, ignore_case=operator == "iglob")
    if operator == "pmatch":
        return path_test(texts)
    if operator == "regex":
        engine = regex_engine()
        pattern = compile_pattern(engine, first) if engine else None
        return lambda value: pattern is not None and pattern.fullmatch(value) is not None
    raise ValueError(f"no operator {operator}")


def path_test(paths: tuple[str, ...]) -> ElementTest:
    """Whether a path is one of some paths or below one, by whole components: `/etc` has `/etc/a`, not `/etcetera`."""
    wanted = {_components(path) for path in paths}
    lengths = sorted({len(path) for path in wanted})

    def holds(value: str) -> bool:
        given = _components(value)
        return any(given[:length] in wanted for length in lengths if length <= len(given))

    return holds


def _components(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)
