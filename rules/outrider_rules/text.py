"""A text put together of pieces of a rule file, that still knows the place of each character."""

from msgspec import Struct

from outrider_rules.document import Scalar, index_of
from outrider_rules.problems import Problem


class Piece(Struct, frozen=True, gc=False):
    """A part of a text. `made` pieces were written by the loader: every character of theirs has the scalar's place."""

    value: str
    origin: Scalar
    made: bool = False


class Text(Struct, frozen=True):
    """Pieces one after the other."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, scalar: Scalar) -> "Text":
        """The text of one scalar."""
        return cls((Piece(scalar.value, scalar),))

    @property
    def value(self) -> str:
        """The whole text."""
        return "".join(piece.value for piece in self.pieces)

    def followed_by(self, other: "Text") -> "Text":
        """Both texts with a space between, as Falco appends."""
        gap = Piece(" ", other.pieces[0].origin, made=True)
        return Text((*self.pieces, gap, *other.pieces))

    def wrapped(self, before: str, after: str, origin: Scalar) -> "Text":
        """The text between two made ones."""
        return Text((Piece(before, origin, made=True), *self.pieces, Piece(after, origin, made=True)))

    def problem(self, offset: int, message: str, hint: str = "") -> Problem:
        """A problem at an offset of the whole text."""
        piece = self.pieces[-1]
        for candidate in self.pieces:
            if offset < len(candidate.value) or candidate is piece:
                piece = candidate
                break
            offset -= len(candidate.value)
        index = piece.origin.start if piece.made else index_of(piece.origin, offset)
        return piece.origin.source.problem(index, message, hint)
