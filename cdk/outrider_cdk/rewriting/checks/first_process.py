"""Programs that must be PID 1, which ECS's pause process is once the PID namespace is shared.

s6-overlay ends with "can only run as pid 1" (just-containers/s6-overlay, issue 559); systemd, runit and the inits of
busybox and OpenRC refuse likewise. An image's own entry point is not in the definition, so images that are known to
begin with s6-overlay are known by their names.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from outrider_cdk.rewriting.checks.containers import FIELD
from outrider_cdk.rewriting.checks.images import repository_of
from outrider_cdk.rewriting.checks.pid_mode import becomes_shared
from outrider_cdk.rewriting.options import GuardOptions
from outrider_cdk.rewriting.ours import others_of
from outrider_cdk.rewriting.problems import Problem, error
from outrider_cdk.rewriting.shapes import as_list, as_text

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
    "*serversideup/php*",
    "*shinsenter/*",
    "*jc21/nginx-proxy-manager",
    "*hassio-addons/*",
    "*tiredofit/*",
    "*nfrastack/*",
    "*crazymax/*",
)
"""Repositories whose images begin with s6-overlay; globs."""

_REMEDY: Final = (
    "Use an image whose first program does not mind, or leave this task out; where it does not mind, accept `pid-1`."
)


def check_first_process(task: Mapping[str, Any], _options: GuardOptions) -> Iterator[Problem]:
    """Refuse what would not start any more."""
    if not becomes_shared(task):
        return
    for index, container in others_of(task):
        for field in ("entryPoint", "command"):
            first = as_text(next(iter(as_list(container.get(field))), ""))
            if any(fnmatchcase(first, known) for known in PROGRAMS):
                says = f"{first} must be PID 1 (s6-overlay, systemd and their like), which it is not with pidMode task."
                yield error((FIELD, index, field, 0), "pid-1", says, _REMEDY)
            if as_list(container.get(field)):
                break
        else:
            image = repository_of(container)
            if any(fnmatchcase(image, known) for known in IMAGES):
                says = (
                    "Images of this repository begin with s6-overlay, which must be PID 1 and is not with pidMode task."
                )
                yield error((FIELD, index, "image"), "pid-1", says, _REMEDY)
