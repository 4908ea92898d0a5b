"""Patterns: `*` stands for any text, everything else for itself."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole of a text fits; in time linear in it, whoever wrote it."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
