"""Orders to the dynamic loader to load more than the program asked for: ld.so(8). Pure.

`LD_PRELOAD` is split at colons and blanks, `LD_AUDIT` at colons, `LD_LIBRARY_PATH` at colons and semicolons, and
/etc/ld.so.preload at blanks, newlines and colons, with `#` starting a comment. An entry without a slash is
searched for in the library directories; one with a slash is a path, relative to the working directory.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Final

from outrider_wire.events import ProcessExecuted
from outrider_wire.text import clean_text

LD_SO_PRELOAD: Final = "/etc/ld.so.preload"
MAX_ENTRIES: Final = 64
"""Most entries taken of one variable or file."""

_SPLIT = {"LD_PRELOAD": re.compile(r"[: ]+"), "LD_AUDIT": re.compile(r":+")}
_DIRECTORIES = re.compile(r"[:;]")
_FILE = re.compile(rb"[ \t\n:]+")


def preloaded(event: ProcessExecuted) -> list[str]:
    """What LD_PRELOAD and LD_AUDIT of an exec name: absolute paths, or bare names that ld.so will search for."""
    return ordered_names(event.env, event.cwd)


def ordered_names(env: Mapping[str, str], cwd: str) -> list[str]:
    """The same of an environment and a working directory."""
    names: list[str] = []
    for variable, separator in _SPLIT.items():
        names += [name for name in separator.split(env.get(variable, "")) if name][:MAX_ENTRIES]
    return list(dict.fromkeys(_absolute(name, cwd) for name in names))


def library_directories(event: ProcessExecuted) -> list[str]:
    """The directories that LD_LIBRARY_PATH puts before all others; an empty entry is the working directory."""
    value = event.env.get("LD_LIBRARY_PATH", "")
    if not value:
        return []
    entries = _DIRECTORIES.split(value)[:MAX_ENTRIES]
    return list(dict.fromkeys(_absolute((entry or ".") + "/", event.cwd) for entry in entries))


def _absolute(name: str, cwd: str) -> str:
    if "/" not in name:
        return name
    return posixpath.normpath(posixpath.join(cwd or "/", name))


def candidates(name: str, directories: Iterable[str]) -> list[str]:
    """Where ld.so would first look for a bare name: below each of `directories`; a path is itself."""
    return [name] if "/" in name else [posixpath.join(directory, name) for directory in directories]


def parse_ld_so_preload(raw: bytes) -> list[str]:
    """The entries of an /etc/ld.so.preload file."""
    lines = [line.partition(b"#")[0] for line in raw.split(b"\n")]
    return [clean_text(name) for name in _FILE.split(b"\n".join(lines)) if name][:MAX_ENTRIES]
