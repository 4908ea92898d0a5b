"""The sources of threat lists, as the operator names them in a TOML file: one table `[[list]]` each.

[[list]]
name = "feodo"
from = "https://lists.example/ipblocklist.csv"
format = "csv"
column = "dst_ip"
category = "c2"
expires_after_days = 30
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from outrider_wire.errors import ConfigError

Format = Literal["plain", "csv", "stix", "misp"]

MAX_SOURCES: Final = 256
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CATEGORY: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
TRUSTED: Final = "trusted"
DEFAULT_CATEGORY: Final = "malicious"


class Source(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"place": "from"}):
    """Where a list is kept and how it is read.

    place (`from`): a file, an https address, or s3://bucket/key; of the MISP form the folder that holds manifest.json.
    format: plain (one a line, `#` begins a comment), csv (with a header), stix (a 2.1 bundle), misp (a feed).
    category: what its entries are, unless the feed says it. `trusted`: its entries silence, whatever others say.
    categories: words of the feed (a STIX indicator type or label, a MISP tag, a CSV cell) and what they mean here.
    column, category_column, expires_column: names in a CSV header. delimiter: what parts its cells.
    expires_after_days: entries are forgotten so long after they were last read; 0 never.
    ca_file: authorities to trust for its address instead of the system's. header_file: a file with one line
    `Name: value` that is sent along, such as a key.
    """

    name: str
    place: str
    format: Format = "plain"
    category: str = DEFAULT_CATEGORY
    trusted: bool = False
    categories: dict[str, str] = {}
    column: str = ""
    category_column: str = ""
    expires_column: str = ""
    delimiter: str = ","
    expires_after_days: float = 0.0
    ca_file: str = ""
    header_file: str = ""

    @property
    def scheme(self) -> str:
        """`https`, `s3`, or `file` for a path."""
        return urlsplit(self.place).scheme if "://" in self.place else "file"


class _Document(Struct, forbid_unknown_fields=True, rename={"sources": "list"}):
    sources: list[Source] = []


def load_sources(path: Path) -> list[Source]:
    """The sources that a file names. Raises ConfigError with what is wrong and where."""
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        sources = msgspec.convert(values, _Document).sources
    except OSError as error:
        raise ConfigError(f"lists {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML, UTF-8, and what msgspec will not have
        raise ConfigError(f"lists {path}: {error}") from error
    _check_all(path, sources)
    return sources


def _check_all(path: Path, sources: list[Source]) -> None:
    names = [source.name for source in sources]
    if len(sources) > MAX_SOURCES or len(set(names)) != len(names):
        raise ConfigError(f"lists {path}: at most {MAX_SOURCES} lists, each of its own name")
    for source in sources:
        if (wrong := _wrong_with(source)) is not None:
            raise ConfigError(f"lists {path}: {source.name!r}: {wrong}")


def _wrong_with(source: Source) -> str | None:
    categories = (source.category, *source.categories.values())
    if not NAME.fullmatch(source.name):
        return "a name is of letters, digits, dot, dash and underscore"
    if ("://" in source.place and source.scheme not in ("https", "s3")) or not source.place:
        return f"{source.place!r} is neither a file nor https:// nor s3://"
    if not all(map(CATEGORY.fullmatch, categories)) or TRUSTED in categories:
        return "a category is a word such as `c2`; what is trusted has `trusted = true`"
    if source.format == "csv" and (not source.column or len(source.delimiter) != 1):
        return "csv needs `column`, and a delimiter of one character"
    if source.expires_after_days < 0:
        return "expires_after_days is less than 0"
    return None
