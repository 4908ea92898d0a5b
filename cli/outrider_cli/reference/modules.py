"""docs/modules.md: every module with the sentence its docstring opens with."""

import ast
import re
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from outrider_cli.reference.markdown import MADE_BY, one_line, page

PACKAGES: Final = (
    "outrider_wire",
    "outrider_rules",
    "outrider_sidecar",
    "outrider_collector",
    "outrider_cdk",
    "outrider_lab",
    "outrider_cli",
)

_INTRODUCTION = """\
# Modules

{made_by}

Every module, with the sentence it opens with. [ARCHITECTURE.md](../ARCHITECTURE.md) says how they work together.
"""


def modules_page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION.format(made_by=MADE_BY)]
    for package in PACKAGES:
        lines = [f"- `{name}` {sentence}" for name, sentence in _modules(resources.files(package), "") if sentence]
        parts += [f"## {package}", "\n".join(lines)]
    return page(*parts)


def first_sentence(source: str) -> str:
    """The sentence a module's docstring opens with; empty where it has none."""
    opening = one_line((ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0])
    return re.split(r"(?<=\.)\s", opening)[0]


def _modules(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.is_dir() and not entry.name.startswith(("_", ".")):
            yield from _modules(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, first_sentence(entry.read_text())
