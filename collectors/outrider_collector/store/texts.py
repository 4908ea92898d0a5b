"""Text as the store keeps it: what can be a column, and the words that a finding is found by.

PostgreSQL takes no NUL in text and no long text in an index, and the two engines' own ideas of a word differ: so both
get columns that are clean and short, and words that were taken apart here.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from outrider_wire.findings import Finding

MAX_WORD: Final = 64
MAX_WORDS: Final = 256
"""Most different words kept of one finding: the first ones."""
MAX_READ: Final = 8192
"""Characters of one text that words are looked for in."""
MAX_ASKED: Final = 16
"""Most words of one question that count."""

_WORD = re.compile(r"[^\W_]+")
_ASKED = re.compile(r"([^\W_]+)(\*?)")


def column(text: str, length: int) -> str:
    """Text that both engines take in a column of this length."""
    return text[:length].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def split_words(texts: Iterable[str], *, limit: int) -> list[str]:
    """The different words of texts in small letters, in the order they come in; a path is the words between its /."""
    found: dict[str, None] = {}
    for each in texts:
        for word in _WORD.findall(each[:MAX_READ].lower()):
            found[word[:MAX_WORD]] = None
            if len(found) >= limit:
                return list(found)
    return list(found)


def words_of(finding: Finding) -> list[str]:
    """What a finding is found by: its type and title, what happened, programs, names, and the evidence's text."""
    texts = [finding.type, finding.rule, finding.title, finding.description]
    if (process := finding.process) is not None:
        texts += [process.name, process.exe, process.cmdline, *(each.exe for each in process.ancestry)]
    if (container := finding.container) is not None:
        texts += [container.name, container.image]
    if (task := finding.task) is not None:
        texts += [task.family, task.cluster, task.arn]
    texts += [value for value in finding.evidence.values() if isinstance(value, str)]
    return split_words(texts, limit=MAX_WORDS)


def as_column(words: Iterable[str]) -> str:
    """Words as the column keeps them: PostgreSQL's way to write such a set, and text to search on SQLite."""
    return " ".join(f"'{word}'" for word in words)


class Asked(Struct, frozen=True):
    """A word of a question. `begins`: it was asked for as `word*`, and any word that begins so will do."""

    word: str
    begins: bool = False


def asked_words(text: str) -> list[Asked]:
    """The words of a question, each once."""
    found: dict[str, Asked] = {}
    for match in _ASKED.finditer(text[:MAX_READ].lower()):
        found.setdefault(match[0], Asked(match[1][:MAX_WORD], bool(match[2])))
    return list(found.values())[:MAX_ASKED]
