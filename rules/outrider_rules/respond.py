"""`respond`: what is to be done, besides telling, when a rule is about to hold.

`deny` refuses the start of a program. It is decided before the program runs, so a rule that answers so must be able
to hold for a start, and may ask for nothing that the start itself brings about: the arguments of a program that was
not started yet are not known, and those of the program before it are not the same. Such a rule is refused when it is
loaded, by the field's name: taken as absent, the field would make a rule that looks armed and never refuses anything,
or, under a `not`, one that refuses everything.
"""

from collections.abc import Iterator
from typing import Final, Literal

from outrider_rules.specialise import Specialiser
from outrider_rules.tree import Checked, Operand, tests

Respond = Literal["deny", ""]
RESPONSES: Final = ("deny",)
ASKED_TYPE: Final = "execve"
"""The value of `evt.type` for which a rule is asked before the fact."""


def why_not_deny(condition: Checked) -> tuple[str, str] | None:
    """Why a rule of this condition cannot refuse a start, and what to do; None where it can."""
    for operand in _operands(condition):
        if operand.field.set_by_exec:
            message = f"`respond: deny` cannot rest on `{operand.shown}`, which is not known before the program starts"
            return message, "decide by the file (proc.exepath, proc.is_exe_new, …), its ancestors and its container"
    if Specialiser(ASKED_TYPE).cut(condition) is False:
        return "`respond: deny` needs a rule that can hold for a start of a program", f"evt.type = {ASKED_TYPE}"
    return None


def _operands(condition: Checked) -> Iterator[Operand]:
    for test in tests(condition):
        for operand in (test.operand, test.other):
            if operand is not None:
                yield from operand.sources
