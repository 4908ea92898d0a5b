"""Users and groups of a container, as its own passwd(5) and group(5) name them. Pure; the content is hostile.

What is no line of the form is passed over, as the C library does. The first entry of an id counts.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from outrider_wire.text import clean_text

MAX_BYTES: Final = 1 << 20
"""Most read of each file."""
MAX_ENTRIES: Final = 8_192
_MAX_NAME: Final = 256
_MAX_ID: Final = (1 << 32) - 2


class User(Struct, frozen=True, gc=False):
    """One line of passwd(5)."""

    name: str
    home: str = ""
    shell: str = ""


class Accounts(Struct, frozen=True):
    """Users by uid and names of groups by gid."""

    users: Mapping[int, User] = {}
    groups: Mapping[int, str] = {}


def parse_accounts(passwd: bytes, group: bytes) -> Accounts:
    """The contents of /etc/passwd and /etc/group; either may be empty."""
    users: dict[int, User] = {}
    for words in _entries(passwd, 7):
        users.setdefault(
            int(words[2]),
            User(clean_text(words[0], limit=_MAX_NAME), clean_text(words[5]), clean_text(words[6])),
        )
    groups: dict[int, str] = {}
    for words in _entries(group, 3):
        groups.setdefault(int(words[2]), clean_text(words[0], limit=_MAX_NAME))
    return Accounts(users, groups)


def _entries(content: bytes, fields: int) -> Iterator[list[bytes]]:
    for line in content[:MAX_BYTES].split(b"\n", MAX_ENTRIES)[:MAX_ENTRIES]:
        words = line.split(b":")
        if (
            len(words) >= fields
            and words[0]
            and len(words[2]) <= 10
            and words[2].isdigit()
            and int(words[2]) <= _MAX_ID
        ):
            yield words
