"""What the rewriter has to say about a task definition: where, how bad, why, and what to do."""

from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
"""Keys and indices from the root of the document that was given; empty is the document itself."""

Severity = Literal["error", "warning", "note"]
"""`error`: it is not guarded, and left as it was. `warning`: it is guarded, but less than one may think, or something
in it may go wrong. `note`: what can only be decided elsewhere, such as in the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One refusal, warning or note.

    `code` is a short name that stays, for tests and for suppressing; `says` and `remedy` are one sentence each.
    """

    path: Path
    code: str
    severity: Severity
    says: str
    remedy: str


def error(path: Path, code: str, says: str, remedy: str) -> Problem:
    """A refusal."""
    return Problem(path=path, code=code, severity="error", says=says, remedy=remedy)


def warning(path: Path, code: str, says: str, remedy: str) -> Problem:
    """Something less than one may think."""
    return Problem(path=path, code=code, severity="warning", says=says, remedy=remedy)


def note(path: Path, code: str, says: str, remedy: str) -> Problem:
    """Something that is decided elsewhere."""
    return Problem(path=path, code=code, severity="note", says=says, remedy=remedy)


def show_path(path: Path) -> str:
    """A path as people write it: `containerDefinitions[0].name`; the document itself is `(the definition)`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "(the definition)"


def show(problem: Problem) -> str:
    """One line: severity, path, what is wrong, what to do, and the code."""
    return f"{problem.severity}: {show_path(problem.path)}: {problem.says} {problem.remedy} [{problem.code}]"
