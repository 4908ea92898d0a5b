"""STIX patterns, the part of the language that says "this name, this address, this file", and nothing by evaluation.

What is understood: observations in brackets joined by OR; in one, comparisons of `domain-name:value`,
`ipv4-addr:value`, `ipv6-addr:value`, `url:value`'s host and `file:hashes.NAME` by `=`, `IN` or (of addresses)
`ISSUBSET`, joined by OR. AND is taken only between digests, which then name one and the same file. Everything else
(NOT, FOLLOWEDBY, qualifiers of time, other objects) would list more than the pattern means, so it is refused whole.
"""

import re
from typing import Final

from outrider_collector.lists.entries import Kind, read_digest, read_indicator, read_network

MAX_PATTERN: Final = 64 << 10
MAX_VALUES: Final = 4_096

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^'\\]|\\['\\])*') |
        (?P<path>(?:domain-name|ipv4-addr|ipv6-addr|url):value | file:hashes\.(?:'[A-Za-z0-9-]+'|[A-Za-z0-9]+)) |
        (?P<word>AND|OR|IN|ISSUBSET)\b |
        (?P<mark>[\[\](),=])
    )""",
    re.VERBOSE,
)
_ALGORITHMS: Final = {"MD5": "md5", "SHA-1": "sha1", "SHA1": "sha1", "SHA-256": "sha256", "SHA256": "sha256"}

Found = tuple[Kind, str]


def read_pattern(pattern: str) -> list[Found]:
    """What a pattern lists. Raises ValueError with a few words for one that is not understood whole."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError("a pattern that is too long")
    reader = _Reader(_tokens(pattern))
    found = reader.observations()
    if not reader.is_done:
        raise ValueError("a pattern of a form that is not taken")
    return found


def _tokens(pattern: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    end = len(pattern.rstrip())
    while at < end:
        match = _TOKEN.match(pattern, at)
        if match is None or match.lastgroup is None:
            raise ValueError("a pattern of a form that is not taken")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


class _Reader:
    """The tokens and a place among them."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at = tokens, 0
        self._values = 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._tokens)

    def observations(self) -> list[Found]:
        found = self._observation()
        while self._take("word", "OR"):
            found += self._observation()
        return found

    def _observation(self) -> list[Found]:
        self._want("mark", "[")
        found = self._comparison()
        joined = set()
        while (word := self._take("word", "OR") or self._take("word", "AND")) is not None:
            joined.add(word)
            found += self._comparison()
        self._want("mark", "]")
        if "AND" in joined and ("OR" in joined or not all(kind in ("md5", "sha1", "sha256") for kind, _ in found)):
            raise ValueError("a pattern that wants several things at once")
        return found

    def _comparison(self) -> list[Found]:
        path = self._want("path")
        if self._take("mark", "="):
            return [_value(path, self._text(), subset=False)]
        if self._take("word", "ISSUBSET"):
            return [_value(path, self._text(), subset=True)]
        self._want("word", "IN")
        self._want("mark", "(")
        found = [_value(path, self._text(), subset=False)]
        while self._take("mark", ","):
            found.append(_value(path, self._text(), subset=False))
        self._want("mark", ")")
        return found

    def _text(self) -> str:
        self._values += 1
        if self._values > MAX_VALUES:
            raise ValueError("a pattern of too many values")
        return re.sub(r"\\(.)", r"\1", self._want("text")[1:-1])

    def _take(self, group: str, wanted: str) -> str | None:
        if not self.is_done and self._tokens[self._at] == (group, wanted):
            self._at += 1
            return wanted
        return None

    def _want(self, group: str, wanted: str = "") -> str:
        if self.is_done or self._tokens[self._at][0] != group or wanted not in ("", self._tokens[self._at][1]):
            raise ValueError("a pattern of a form that is not taken")
        self._at += 1
        return self._tokens[self._at - 1][1]


def _value(path: str, text: str, *, subset: bool) -> Found:
    thing, _, rest = path.partition(":")
    if thing == "file":
        if subset:
            raise ValueError("a pattern of a form that is not taken")
        algorithm = _ALGORITHMS.get(rest.partition(".")[2].strip("'").upper())
        if algorithm is None:
            raise ValueError("a digest of an algorithm that is not taken")
        return read_digest(text, algorithm)
    if thing in ("ipv4-addr", "ipv6-addr"):
        return "network", read_network(text)
    if subset:
        raise ValueError("a pattern of a form that is not taken")
    kind, value = read_indicator(text)
    if kind == "domain" or thing == "url":
        return kind, value
    raise ValueError("no domain")
