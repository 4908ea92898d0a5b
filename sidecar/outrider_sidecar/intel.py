"""Threat lists: which names belong to a category such as `mining`.

A list is text: one domain a line, which stands for itself and all below it; `category,domain` names another category
than mining; `#` begins a comment. The small built-in list is of mining pools whose names are public.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from outrider_wire.errors import ConfigError

MAX_DOMAINS: Final = 1_000_000
DEFAULT_CATEGORY: Final = "mining"


class Intel:
    """Domains by category; a look-up costs one dict access a label."""

    def __init__(self, domains: dict[str, str]) -> None:
        self._domains = domains

    def __len__(self) -> int:
        return len(self._domains)

    def category_of(self, name: str) -> str:
        """The category of a name or of the nearest parent that is listed; empty where none is."""
        while name:
            category = self._domains.get(name)
            if category is not None:
                return category
            name = name.partition(".")[2]
        return ""

    def listed_as(self, name: str) -> str:
        """The listed domain that a name falls under; empty where none does."""
        while name and name not in self._domains:
            name = name.partition(".")[2]
        return name


def parse_list(text: str, *, source: str) -> dict[str, str]:
    """Domains and their categories. Raises ConfigError with source and line for what is no domain."""
    domains: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip().lower()
        if not entry:
            continue
        category, comma, domain = entry.rpartition(",")
        domain = domain.strip().rstrip(".")
        if not _is_domain(domain) or (comma and not category.strip()):
            raise ConfigError(
                f"{source}:{number}: {line.strip()!r} is no domain; write `pool.example` or `c2,pool.example`"
            )
        domains[domain] = category.strip() or DEFAULT_CATEGORY
        if len(domains) > MAX_DOMAINS:
            raise ConfigError(f"{source}: more than {MAX_DOMAINS} domains")
    return domains


def load_intel(paths: Iterable[str]) -> Intel:
    """The built-in list and the user's. Raises ConfigError."""
    builtin = Path(__file__).with_name("mining_pools.txt").read_text()
    domains = parse_list(builtin, source="built-in list of mining pools")
    for path in paths:
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"intel {path}: {error}") from error
        domains |= parse_list(text, source=path)
    return Intel(domains)


def _is_domain(text: str) -> bool:
    labels = text.split(".")
    return (
        len(text) <= 253
        and len(labels) > 1
        and all(0 < len(label) <= 63 and all(c.isalnum() or c in "-_" for c in label) for label in labels)
    )
