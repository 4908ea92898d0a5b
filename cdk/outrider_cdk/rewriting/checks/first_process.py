"""Programs that must be PID 1, which ECS's pause process is once the PID namespace is shared.

s6-overlay ends with "can only run as pid 1" (just-containers/s6-overlay, issue 559); systemd, runit and the inits of
busybox and OpenRC refuse likewise. An image's own entry point is not in the definition, so images that are known to
begin with s6-overlay are known by their names.
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
from outrider_cdk.rewriting.shapes import as_list, as_text, commands_of

PROGRAMS: Final = (
    "/init",
    "/package/admin/s6-overlay*/*",
    "/sbin/init",
    "/usr/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/sbin/runit",
    "/sbin/runit-init",
    "/sbin/openrc-init",
)
"""Entry points that refuse to be another process than the first; globs."""

IMAGES: Final = (
    "*linuxserver/*",
    "*home-assistant/*",
    "*homeassistant/*",
    "*hassio-addons/*",
    "*jc21/nginx-proxy-manager",
    "*shinsenter/*",
    "*tiredofit/*",
)
"""Repositories whose images begin with s6-overlay; globs."""
PERHAPS: Final = ("*serversideup/php*", "*crazymax/*", "*nfrastack/*")
"""Repositories of which some images do."""

_THE_FIRST: Final = re.compile(r"/proc/1/|\bkill(?:\s+-\w+)*\s+1(?![\w.])")
"""`> /proc/1/fd/1` writes to the container's own log, `kill -HUP 1` signals its program, as long as that is PID 1."""

_REMEDY: Final = (
    "Use an image whose first program does not mind, or leave this task out; where it does not mind, accept `pid-1`."
)


def check_first_process(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Refuse what would not start any more; warn of what means another process from now on."""
    if not becomes_shared(task):
        return
    for index, container in others_of(task):
        yield from _check_start(container, (FIELD, index))
        for path, text in commands_of(container, (FIELD, index)):
            if match := _THE_FIRST.search(text):
                says = f"`{match[0].strip()}` means PID 1, which is ECS's pause process with pidMode task."
                yield warning(path, "names-pid-1", says, "Name the program by the pid that its shell knows ($$, $!).")


def _check_start(container: Mapping[str, Any], at: Path) -> Iterator[Problem]:
    """The first program, where the definition says it, else the image by its name."""
    for field in ("entryPoint", "command"):
        words = as_list(container.get(field))
        if words and any(fnmatchcase(as_text(words[0]), known) for known in PROGRAMS):
            says = f"{words[0]} must be PID 1 (s6-overlay, systemd and their like), which it is not with pidMode task."
            yield error((*at, field, 0), "pid-1", says, _REMEDY)
        if words and field == "entryPoint":
            return
    image = repository_of(container)
    if any(fnmatchcase(image, known) for known in IMAGES):
        says = "Images of this repository begin with s6-overlay, which must be PID 1 and is not with pidMode task."
        yield error((*at, "image"), "pid-1", says, _REMEDY)
    elif any(fnmatchcase(image, known) for known in PERHAPS):
        says = "Some images of this repository begin with s6-overlay, which must be PID 1 and is not with pidMode task."
        yield warning((*at, "image"), "perhaps-pid-1", says, "Start it once with pidMode task before you deploy it.")
