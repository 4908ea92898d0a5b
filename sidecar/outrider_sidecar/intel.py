"""Threat lists: what is known of a name, an address or a file, from files of one's own and from the collector.

A file is text: one domain a line, which stands for itself and all below it; `category,domain` names another category
than mining; `#` begins a comment. The small built-in list is of mining pools whose names are public. What the collector
sends is a table (`outrider_wire.listtable`), which is exchanged whole while everything goes on.

The nearest listed parent of a name counts. What is trusted silences: a name that is, or falls under, a trusted domain
is not listed, whatever is said of it elsewhere.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from outrider_wire.errors import ConfigError
from outrider_wire.listtable import Label, ListTable

MAX_DOMAINS: Final = 1_000_000
DEFAULT_CATEGORY: Final = "mining"
MAX_DEPTH: Final = 16
"""Most labels of a name that are looked at, from its end: nobody lists a longer one, and anybody may ask for it."""
MAX_REMEMBERED: Final = 512
"""Names and addresses whose listing is kept, so that ten rules that ask of one event search once."""
OWN: Final = "local"
"""The source of what stands in the sidecar's own files."""
_MINUTE_S: Final = 60


class Listing(Struct, frozen=True, gc=False):
    """What the lists say: category, the domain, network or digest that is listed, and the list that says it.

    `trusted`: a list that silences says so; its category is empty.
    """

    category: str
    listed_as: str
    source: str
    trusted: bool = False


class Intel:
    """What is listed. Never changed: another takes its place. An expiry holds to the minute."""

    def __init__(self, domains: dict[str, str], table: ListTable | None = None) -> None:
        self._domains = domains
        self.table = table
        self._name = lru_cache(MAX_REMEMBERED)(self._find_name)
        self._address = lru_cache(MAX_REMEMBERED)(self._find_address)

    def __len__(self) -> int:
        return len(self._domains) + (len(self.table) if self.table is not None else 0)

    def with_table(self, table: ListTable | None) -> "Intel":
        """The same files, and the collector's lists as they are now."""
        return Intel(self._domains, table)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """By which digests files are listed."""
        return self.table.shape.algorithms if self.table is not None else ()

    def of_name(self, name: str, at_ns: int = 0) -> Listing | None:
        """What is said of a domain, or of the nearest parent that is listed."""
        return self._name(name, _minute(at_ns))

    def of_address(self, address: str, at_ns: int = 0) -> Listing | None:
        """What is said of an address, by the narrowest network that is listed."""
        return self._address(address, _minute(at_ns)) if self.table is not None else None

    def of_file(self, digests: Mapping[str, str], at_ns: int = 0) -> Listing | None:
        """What is said of a file, by any of its digests; one that is trusted by any of them is."""
        found = None
        for algorithm, digest in sorted(digests.items(), reverse=True) if self.table is not None else ():
            label = self.table.find_file(algorithm, digest) if self.table is not None else None
            if label is not None and _holds(label, _minute(at_ns)):
                listing = _listing(label, f"{algorithm}:{digest}")
                if listing.trusted:
                    return listing
                found = found or listing
        return found

    def _find_name(self, name: str, at_s: int) -> Listing | None:
        found = None
        labels = name.split(".")
        for start in range(max(len(labels) - MAX_DEPTH, 0), len(labels)):
            part = ".".join(labels[start:])
            listing = self._listed_domain(part, at_s)
            if listing is not None and listing.trusted:
                return listing
            found = found or listing
        return found

    def _listed_domain(self, domain: str, at_s: int) -> Listing | None:
        """Exactly this domain; the collector's trust comes before the sidecar's own files, these before the rest."""
        label = self.table.find_domain(domain) if self.table is not None else None
        if label is not None and not _holds(label, at_s):
            label = None
        if domain in self._domains and not (label is not None and label.trusted):
            return Listing(self._domains[domain], domain, OWN)
        return _listing(label, domain) if label is not None else None

    def _find_address(self, address: str, at_s: int) -> Listing | None:
        hit = self.table.find_address(address) if self.table is not None else None
        return _listing(hit.label, hit.listed_as) if hit is not None and _holds(hit.label, at_s) else None


def _minute(at_ns: int) -> int:
    return at_ns // 1_000_000_000 // _MINUTE_S * _MINUTE_S


def _holds(label: Label, at_s: int) -> bool:
    return not label.expires_at_s or at_s < label.expires_at_s


def _listing(label: Label, listed_as: str) -> Listing:
    return Listing("" if label.trusted else label.category, listed_as, label.source, label.trusted)


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
