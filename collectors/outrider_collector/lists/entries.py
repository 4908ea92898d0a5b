"""Entries of threat lists: text from anywhere to a domain, a network or a file's digest in normal form.

Feeds defang what they list (`hxxp`, `[.]`), put ports and paths behind names, and write digests in capitals. What can
be read beyond doubt is; the rest is no entry.
"""

import re
from collections import Counter
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct, field

from outrider_wire.listtable import pack_address

Kind = Literal["domain", "network", "md5", "sha1", "sha256"]

MAX_ENTRIES: Final = 2_000_000
"""Most entries taken of one source."""
MAX_TEXT: Final = 4_096
"""Longest text that is looked at for an entry, in characters."""

_DIGESTS: Final[dict[int, Kind]] = {32: "md5", 40: "sha1", 64: "sha256"}
_HEX: Final = re.compile(r"[0-9a-f]+")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_WIDEST: Final = {4: 8, 16: 19}
"""Shortest prefix that is taken: `0.0.0.0/0` in a list is a mistake, and would be a finding a connection."""


class Entry(Struct, frozen=True, gc=False):
    """One thing listed. `value` is in normal form; `expires_at_s` since the epoch, 0 where nothing was said of it."""

    kind: Kind
    value: str
    category: str = ""
    expires_at_s: int = 0


class Read(Struct):
    """What was read of a source: entries, and how many of its items were none, by reason; `examples` of those."""

    entries: list[Entry] = []
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = {}

    def skip(self, why: str, item: str) -> None:
        """Count an item that is no entry."""
        self.skipped[why] += 1
        self.examples.setdefault(why, item[:120])

    def add(self, entry: Entry) -> None:
        """Take an entry, as long as there is room."""
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(entry)
        else:
            self.skip(f"more than {MAX_ENTRIES} entries", entry.value)

    def take(self, text: str, *, category: str = "", expires_at_s: int = 0) -> None:
        """Take a text for whatever entry it is."""
        try:
            kind, value = read_indicator(text)
        except ValueError as error:
            self.skip(str(error), text)
        else:
            self.add(Entry(kind, value, category, expires_at_s))


def read_indicator(text: str) -> tuple[Kind, str]:
    """A domain, address, network, URL's host or digest. Raises ValueError with a few words that say why not."""
    plain = refang(text)
    if _HEX.fullmatch(plain) and len(plain) in _DIGESTS:
        return _DIGESTS[len(plain)], plain
    if "://" in plain:
        plain = _host_of(plain)
    elif "/" in plain and not plain.partition("/")[2].isdecimal():
        plain = plain.partition("/")[0]
    elif plain.startswith("[") and "]" in plain:
        plain = plain[1:].partition("]")[0]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    if ":" in plain or _looks_like_address(plain):
        return "network", read_network(plain)
    return "domain", read_domain(plain)


def refang(text: str) -> str:
    """A text as it was before somebody made it harmless to click on. Raises ValueError where it is too long."""
    if len(text) > MAX_TEXT:
        raise ValueError("too long")
    plain = text.strip().lower().replace("[.]", ".").replace("(.)", ".").replace("[:]", ":")
    return re.sub(r"^hxxp(s?)(?=://)", r"http\1", plain)


def read_domain(text: str) -> str:
    """A domain of two labels or more, in lower case without its last dot. `*.` is what it means anyway."""
    domain = text.strip().lower().rstrip(".").removeprefix("*.")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError("no domain") from error
    labels = domain.split(".")
    if len(domain) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdecimal():
        raise ValueError("no domain")
    return domain


def read_network(text: str) -> str:
    """An address or network with its length, the bits behind it cleared."""
    address, slash, length = text.strip().partition("/")
    try:
        packed = pack_address(address)
    except ValueError as error:
        raise ValueError("no address") from error
    bits = len(packed) * 8
    if slash and not (length.isascii() and length.isdecimal() and len(length) <= 3 and int(length) <= bits):
        raise ValueError("no length of a prefix")
    prefix = int(length) if slash else bits
    if prefix < _WIDEST[len(packed)]:
        raise ValueError(f"a network wider than /{_WIDEST[len(packed)]}")
    first = int.from_bytes(packed, "big") >> (bits - prefix) << (bits - prefix)
    return f"{inet_ntop(AF_INET if bits == 32 else AF_INET6, first.to_bytes(bits // 8, 'big'))}/{prefix}"


def read_digest(text: str, algorithm: str = "") -> tuple[Kind, str]:
    """A digest; its algorithm follows from its length, and must be the one that is named."""
    digest = text.strip().lower()
    kind = _DIGESTS.get(len(digest))
    if kind is None or not _HEX.fullmatch(digest) or algorithm not in ("", kind):
        raise ValueError("no digest")
    return kind, digest


def _host_of(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError as error:
        raise ValueError("no address of a page") from error
    if not host:
        raise ValueError("no address of a page")
    return host


def _looks_like_address(text: str) -> bool:
    return text.partition("/")[0].replace(".", "").isdecimal()
