"""Which containers are guarded: selectors of the settings `include` and `exclude`, and what they say of one. Pure.

A selector is one or more parts joined by `+`, all of which must hold:

    container=sidecar-*            the container's name in the task definition
    image=*/log-router:*           its image as the task definition names it
    family=web                     the task definition's family
    cluster=prod*                  the cluster's name
    cluster-tag:Team=payments      a tag of the cluster
    task-tag:Guarded=no            a tag of the task

Values are globs (`*`, `?`, `[…]`), compared with case. A `+` or a comma that belongs to a value is written `?`. What
any selector of `exclude` holds of is left alone, whatever `include` says. An empty `include` means everything.

What is not known yet excludes nobody: a container is guarded until it is known that it is not to be.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from outrider_wire.errors import ConfigError

PLAIN_KEYS: Final = ("container", "image", "family", "cluster")
TAG_KEYS: Final = ("cluster-tag", "task-tag")
Tags = Mapping[str, str]
MAX_SELECTORS: Final = 256
"""Most selectors of one setting."""


class Subject(Struct, frozen=True, gc=False):
    """What is known of a container. Empty text, and None for tags: not known, or not yet."""

    container: str = ""
    image: str = ""
    family: str = ""
    cluster: str = ""
    cluster_tags: Tags | None = None
    task_tags: Tags | None = None


class Choice(Struct, frozen=True, gc=False):
    """Whether a container is guarded. `excluded_by` is the setting and selector that says no, else empty.

    `awaits`: what is not known yet may exclude it.
    """

    excluded_by: str = ""
    awaits: bool = False


GUARDED: Final = Choice()


class Part(Struct, frozen=True, gc=False):
    """One condition: `tag` is the tag's key where `key` is of TAG_KEYS, else empty."""

    key: str
    tag: str
    pattern: str

    def holds(self, subject: Subject) -> bool | None:
        """Whether it holds; None where that is not known yet."""
        if not self.tag:
            value: str | None = getattr(subject, self.key)
            return _matches(value, self.pattern, self.key) if value else None
        tags = subject.cluster_tags if self.key == "cluster-tag" else subject.task_tags
        if tags is None:
            return None
        value = tags.get(self.tag)
        return value is not None and fnmatch.fnmatchcase(value, self.pattern)


class Selector(Struct, frozen=True, gc=False):
    """Parts that must all hold, and the text that they were read from."""

    text: str
    parts: tuple[Part, ...]

    def holds(self, subject: Subject) -> bool | None:
        """False as soon as one part does not hold; None where one is not known and none fails."""
        answers = [part.holds(subject) for part in self.parts]
        if False in answers:
            return False
        return None if None in answers else True


class Selection:
    """The two settings, read. Raises ConfigError for a selector that says nothing or is misspelt."""

    def __init__(self, *, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self._include = _read_all("include", include)
        self._exclude = _read_all("exclude", exclude)

    @property
    def is_open(self) -> bool:
        """Whether everything is guarded, whatever it is."""
        return not (self._include or self._exclude)

    @property
    def tag_keys(self) -> frozenset[str]:
        """Of TAG_KEYS, those that some selector asks for: nothing else need be known."""
        return frozenset(part.key for s in (*self._include, *self._exclude) for part in s.parts if part.tag)

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The selectors by setting, as they were given."""
        return {"include": tuple(s.text for s in self._include), "exclude": tuple(s.text for s in self._exclude)}

    def judge(self, subject: Subject) -> Choice:
        """Whether a container is guarded, by what is known of it now."""
        if self.is_open:
            return GUARDED
        out = [(selector, selector.holds(subject)) for selector in self._exclude]
        if (named := next((selector for selector, holds in out if holds), None)) is not None:
            return Choice(f"exclude {named.text}")
        awaits = any(holds is None for _, holds in out)
        if self._include:
            wanted = [selector.holds(subject) for selector in self._include]
            if True not in wanted and None not in wanted:
                return Choice("include " + ",".join(s.text for s in self._include))
            awaits = awaits or True not in wanted
        return Choice(awaits=awaits)


def read_selector(text: str, setting: str) -> Selector:
    """One selector. Raises ConfigError that names the setting, and the nearest key that is known."""
    parts = tuple(_read_part(part, text, setting) for part in text.split("+"))
    return Selector(text, parts)


def _read_all(setting: str, texts: Iterable[str]) -> tuple[Selector, ...]:
    selectors = tuple(read_selector(text.strip(), setting) for text in texts)
    if len(selectors) > MAX_SELECTORS:
        raise ConfigError(f"{setting}: {len(selectors)} selectors; at most {MAX_SELECTORS} are taken")
    return selectors


def _read_part(part: str, text: str, setting: str) -> Part:
    where = f"{setting} {text!r}"
    name, equals, pattern = part.partition("=")
    name, pattern = name.strip(), pattern.strip()
    key, colon, tag = name.partition(":")
    _check_key(key, tag, bool(colon), where)
    if not equals or not pattern:
        raise ConfigError(f"{where}: {part!r} has no value; write {name}=VALUE, * for any")
    return Part(key, tag, pattern)


def _check_key(key: str, tag: str, has_tag: bool, where: str) -> None:
    if key in TAG_KEYS:
        if not tag:
            raise ConfigError(f"{where}: {key} names no tag; write {key}:KEY=VALUE")
        return
    if key not in PLAIN_KEYS or has_tag:
        wanted = TAG_KEYS if has_tag else (*PLAIN_KEYS, *TAG_KEYS)
        import difflib  # only for a mistake

        near = difflib.get_close_matches(key, wanted, n=1)
        shown = [f"{known}:KEY" if known in TAG_KEYS else known for known in near or (*PLAIN_KEYS, *TAG_KEYS)]
        hint = f"did you mean {shown[0]}?" if near else f"known are {', '.join(shown)}"
        raise ConfigError(f"{where}: unknown key {key!r}; {hint}")


def _matches(value: str, pattern: str, key: str) -> bool:
    """A cluster is told by name or by ARN; its name is what is meant."""
    if fnmatch.fnmatchcase(value, pattern):
        return True
    return key == "cluster" and fnmatch.fnmatchcase(value.rpartition(":cluster/")[2], pattern)
