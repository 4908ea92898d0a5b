"""Plain lists, one entry a line, and CSV with a header."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from outrider_collector.lists.entries import MAX_TEXT, Read
from outrider_collector.lists.sources import Source

_COMMENTS: Final = ("#", ";", "//", "!")
_HOSTS_FILE: Final = ("0.0.0.0", "127.0.0.1", "::1", "::")
"""What a list in the form of a hosts file maps its names to."""


def read_plain(data: bytes, source: Source) -> Read:
    """One entry a line; behind blanks or `#` comes a comment. Lines of a hosts file are their second word."""
    del source
    found = Read()
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0].startswith(_COMMENTS):
            continue
        found.take(words[1] if len(words) > 1 and words[0] in _HOSTS_FILE else words[0])
    return found


def read_csv(data: bytes, source: Source) -> Read:
    """The column that the source names. The header may be commented out. Raises ValueError where it lacks one."""
    lines = data.decode("utf-8-sig", "replace").splitlines()
    start, header = _find_header(lines, source)
    found = Read()
    csv.field_size_limit(1 << 20)
    rows = csv.DictReader(
        io.StringIO("\n".join(line for line in lines[start:] if not line.startswith("#"))),
        fieldnames=header,
        delimiter=source.delimiter,
        skipinitialspace=True,
    )
    try:
        for row in rows:
            _take_row(found, row, source)
    except csv.Error as error:
        found.skip("a line that is no CSV, and all behind it", str(error))
    return found


def _find_header(lines: list[str], source: Source) -> tuple[int, list[str]]:
    wanted = [name for name in (source.column, source.category_column, source.expires_column) if name]
    for number, line in enumerate(lines[:200]):
        if len(line) > MAX_TEXT:
            continue
        text = line.removeprefix("#").strip()
        names = [name.strip().strip('"') for name in next(csv.reader([text], delimiter=source.delimiter), list[str]())]
        if all(name in names for name in wanted):
            return number + 1, names
    raise ValueError(f"there is no header with {', '.join(wanted)}")


def _take_row(found: Read, row: Mapping[str | None, object], source: Source) -> None:
    value = row.get(source.column)
    if not isinstance(value, str) or not value.strip():
        found.skip("an empty cell", str(value))
        return
    said = str(row.get(source.category_column) or "").strip() if source.category_column else ""
    expiry = str(row.get(source.expires_column) or "").strip() if source.expires_column else ""
    try:
        expires_at_s = read_time(expiry) if expiry else 0
    except ValueError:
        found.skip("no time of expiry", expiry)
        return
    found.take(value, category=source.categories.get(said, ""), expires_at_s=expires_at_s)


def read_time(text: str) -> int:
    """Seconds since the epoch of RFC 3339, `YYYY-MM-DD HH:MM:SS` or such a number. Raises ValueError."""
    plain = text.strip()
    if plain.isascii() and plain.isdecimal() and len(plain) <= 12:
        return int(plain)
    at = datetime.fromisoformat(plain)
    return max(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()), 0)
