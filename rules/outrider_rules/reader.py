"""A place in the text of a condition that moves forward, and the error that names a place."""

import re

from outrider_rules.problems import shown

_BLANK = re.compile(r"[ \t\r\n\x08]*")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", " ": " ", "\\": "\\", "/": "/"}


class ConditionError(Exception):
    """A condition that cannot be read: what is wrong at which offset, and what was expected."""

    def __init__(self, at: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.at = at
        self.message = message
        self.hint = hint


class Reader:
    """A place in a text that moves forward."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.skip()

    def skip(self) -> None:
        """Go over white space."""
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    @property
    def done(self) -> bool:
        """Whether nothing but white space is left."""
        self.skip()
        return self.at >= len(self.text)

    def match(self, pattern: re.Pattern[str]) -> str | None:
        """Take what a pattern matches here."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def take(self, mark: str) -> bool:
        """Take a mark, after white space."""
        self.skip()
        return self.take_tight(mark)

    def take_tight(self, mark: str) -> bool:
        """Take a mark that stands right here."""
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def expect(self, mark: str) -> None:
        """Take a mark or refuse the text."""
        if not self.take(mark):
            raise ConditionError(self.at, f"expected `{mark}`, found {self.rest(self.at)}")

    def take_keyword(self, word: str) -> bool:
        """Take `and`, `or` or `not`, when it stands alone and is not the start of a longer name."""
        self.skip()
        end = self.at + len(word)
        if self.text.startswith(word, self.at) and (end >= len(self.text) or self.text[end] in " \t\r\n\x08("):
            self.at = end
            self.skip()
            return True
        return False

    def sees(self, mark: str) -> bool:
        """Whether a mark stands right here."""
        return self.text.startswith(mark, self.at)

    def sees_quote(self) -> bool:
        """Whether a quoted text starts here."""
        return self.text[self.at : self.at + 1] in ("'", '"') and self.at < len(self.text)

    def quoted(self) -> str:
        """Take a quoted text, escapes undone."""
        start, mark = self.at, self.text[self.at]
        parts: list[str] = []
        position = start + 1
        while position < len(self.text):
            character = self.text[position]
            if character == mark:
                self.at = position + 1
                return "".join(parts)
            if character == "\\":
                position += 1
                escaped = self.text[position : position + 1]
                if escaped != mark and escaped not in _ESCAPES:
                    message = f"`\\{shown(escaped)}` is no escape"
                    raise ConditionError(position - 1, message, "write `\\\\` for a backslash")
                character = escaped if escaped == mark else _ESCAPES[escaped]
            parts.append(character)
            position += 1
        raise ConditionError(start, f"the text that starts with {mark} never ends")

    def peek(self) -> str:
        """A few characters from here, to be shown."""
        return shown(self.text[self.at : self.at + 24].split("\n")[0], 20)

    def rest(self, at: int) -> str:
        """What stands at an offset, to be shown."""
        piece = shown(self.text[at : at + 24].split("\n")[0].strip(), 20)
        return f"`{piece}`" if piece else "the end"
