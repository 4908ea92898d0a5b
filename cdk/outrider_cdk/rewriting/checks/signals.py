"""Commands that signal every process: in a shared PID namespace that is the whole task, the sidecar included.

kill(2) with -1 reaches every process that the caller may signal, and killall5 does the same by reading /proc. They
were harmless in a namespace of the container's own. Programs that do so inside of an image are not to be seen here.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.checks.images import repository_of
from outrider_cdk.rewriting.checks.pid_mode import becomes_shared
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.problems import Path, Problem, error, warning
from outrider_cdk.rewriting.shapes import commands_of

_EVERYBODY: Final = re.compile(
    r"\bkillall5\b"
    r"|\bkill(?:\s+-s\s+\w+|\s+-n\s+\d+|\s+-[A-Z0-9]+)*(?:\s+--|\s+-s\s+\w+|\s+-n\s+\d+|\s+-[A-Z0-9]+)\s+-1(?![\w.])"
    r"|\bkillp?g?\(\s*-1\s*,"
    r"|\b(?:my_init)\b"
)
"""killall5; kill with a signal or `--` and then -1; kill(-1, …) of Python, Perl, Node and C; phusion's my_init, which
ends by signalling everybody. `kill -1 PID` is SIGHUP to one process, and no matter."""

_BY_NAME: Final = re.compile(r"\b(?:pkill|killall)\s+(?!-0)")
"""Reaches processes of that name in every container of the task."""

_IMAGES: Final = ("*phusion/baseimage*", "*phusion/passenger*")
"""Begin with my_init."""


def check_signals(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Refuse what would end the other containers; warn where they were within reach before."""
    new = becomes_shared(task)
    for index, container in others_of(task):
        for path, text in commands_of(container, (FIELD, index)):
            if match := _EVERYBODY.search(text):
                yield _everybody(path, match[0], new=new)
            elif new and (match := _BY_NAME.search(text)):
                says = f"`{match[0].strip()}` reaches processes of that name in every container with pidMode task."
                yield warning(path, "signals-by-name", says, "Signal a process by its pid, or add -P or -s to pkill.")
        if any(fnmatchcase(repository_of(container), known) for known in _IMAGES):
            yield _everybody((FIELD, index, "image"), "my_init", new=new)


def _everybody(path: Path, what: str, *, new: bool) -> Problem:
    says = f"`{what.strip()}` signals every process, which with pidMode task are those of all containers."
    remedy = "Signal the processes that are meant, such as the children (pkill -P $$) or the group (kill 0)."
    if new:
        return error(path, "signals-everybody", says, f"{remedy} Where it does not matter, accept `signals-everybody`.")
    return warning(path, "signals-everybody", says, remedy)
