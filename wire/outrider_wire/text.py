"""Hostile text: how bytes from a guarded task become str, and how a str is shown.

Names, paths and arguments in a guarded task may hold any byte. They are decoded once, here, with
backslashreplace (a lone surrogate would make a whole batch unencodable), bounded, and escaped where shown.
"""

MAX_TEXT = 4096
"""Longest text kept of one path or name, in characters; PATH_MAX is 4096 bytes."""

ELLIPSIS = "…"


def clean_text(raw: bytes, *, limit: int = MAX_TEXT) -> str:
    """Decode bytes from a guarded task; what is not UTF-8 becomes `\\xNN`, what is too long ends in `…`."""
    text = raw[: limit * 4].decode("utf-8", "backslashreplace")
    return text if len(text) <= limit and len(raw) <= limit * 4 else text[: limit - 1] + ELLIPSIS


def printable(text: str) -> str:
    """The same text with control, bidirectional and other unprintable characters escaped, to be shown."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
