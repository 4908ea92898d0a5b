"""What can be wrong with a text: it cannot be read, or an edit cannot be made in it."""

from outrider_cdk.rewriting.problems import Path


class Unreadable(ValueError):
    """A text that is not one JSON or YAML document that can be edited safely; `line` counts from 1, 0 is the whole."""

    def __init__(self, says: str, *, remedy: str = "", line: int = 0) -> None:
        super().__init__(f"line {line}: {says}" if line else says)
        self.says = says
        self.remedy = remedy
        self.line = line


class Uneditable(ValueError):
    """An edit that has no place in this text, or would change something else with it."""

    def __init__(self, path: Path, says: str, *, remedy: str = "", line: int = 0) -> None:
        super().__init__(f"{says} (line {line})" if line else says)
        self.path = path
        self.says = str(self)
        self.remedy = remedy
        self.line = line


def line_of(text: str, at: int) -> int:
    """The number of the line, from 1, that a character of a text stands in."""
    return text.count("\n", 0, at) + 1
