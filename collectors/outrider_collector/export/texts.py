"""Text of a guarded task on its way out: what cannot be shown is escaped, then cut to what a format takes."""

from typing import Final

from outrider_wire.text import ELLIPSIS, printable

MAX_READ: Final = 8192


def shown(text: str, limit: int) -> str:
    """The text without control and other unprintable characters, at most so many characters."""
    clean = printable(text[:MAX_READ]).strip()
    return clean if len(clean) <= limit else clean[: limit - 1] + ELLIPSIS


def cut_bytes(text: str, limit: int) -> bytes:
    """UTF-8 of at most so many bytes, no character cut in two."""
    raw = text.encode("utf-8", "replace")
    return raw if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore").encode()
