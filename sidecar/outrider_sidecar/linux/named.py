"""Which file a guarded process means by a name, also where the name goes through a descriptor or another root.

`/proc/PID/fd/N`, `/proc/PID/exe`, `/proc/PID/root` and `/proc/PID/cwd` are links that the kernel follows by
itself, whatever their text says: a memfd, a deleted file and a file in another container are reached so, and no
walk along names leads there. They are looked up here for the process that used the name: its `/proc/self` is not
ours. `/dev/fd` and `/dev/stdin` are other names of them.

What is found so is called by the link's text (`/memfd:x (deleted)`), as an executable is. A descriptor that is no
regular file (the pipe of `bash <(...)`, a terminal, a socket) brings no file to be judged; no more does the
temporary file that bash and zsh delete before a here document is read from it: that is text of the command line.
"""

import errno
import os
import posixpath
import re
import stat
from collections.abc import Iterable
from typing import Final

from outrider_sidecar.linux.procfs import file_facts
from outrider_sidecar.linux.rooted import MAX_LINKS, find_in_root, follow_first_link
from outrider_wire.events import FileFacts
from outrider_wire.text import clean_text

_LINK: Final = re.compile(
    rb"/proc/(self|thread-self|\d{1,10})(?:/task/\d{1,10})?/(?:(fd/\d{1,10}|exe)|(root|cwd)(/.*)?)", re.DOTALL
)
_OTHER_NAMES: Final = re.compile(rb"/dev/(?:fd/(\d{1,10})|stdin)")
_HERE_DOCUMENT: Final = re.compile(r"/.*/(sh-thd[.-]?\w+|zsh\w{6}) \(deleted\)")


def named_file(proc: str, pid: int, path: bytes) -> FileFacts | None:
    """The file that a process means by an absolute path; None for a descriptor that is no file. Raises OSError."""
    holder = pid
    for _ in range(MAX_LINKS):
        link = _link_of(path)
        if link is None:
            root = f"{proc}/{holder}/root"
            try:
                real, status = find_in_root(root, path)
                return file_facts(clean_text(real), status)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOENT):  # a link through /proc/self was followed to ours
                    raise
            path = _follow(root, path)
            continue
        owner = pid if link[1].endswith(b"self") else int(link[1])
        if link[2]:
            return _behind(f"{proc}/{owner}/{link[2].decode()}")
        holder, path = owner, link[4] or b"/"
        if link[3] == b"cwd":
            path = os.readlink(f"{proc}/{owner}/cwd".encode()) + path
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def is_link(path: str) -> bool:
    """Whether a path goes through such a link, by its form."""
    return _link_of(os.fsencode(path)) is not None


def linked_files(proc: str, pid: int, paths: Iterable[str]) -> tuple[FileFacts, ...]:
    """The files that a process means by those of the paths that go through such a link, as many as there are."""
    found = []
    for path in filter(is_link, paths):
        try:
            found.append(named_file(proc, pid, os.fsencode(path)))
        except (OSError, ValueError):
            continue  # nothing is there
    return tuple([file for file in found if file is not None])


def _link_of(path: bytes) -> re.Match[bytes] | None:
    if b"/proc/" not in path and b"/dev/" not in path:
        return None
    plain = b"/" + posixpath.normpath(path).lstrip(b"/")
    if other := _OTHER_NAMES.fullmatch(plain):
        plain = b"/proc/self/fd/" + (other[1] or b"0")
    return _LINK.fullmatch(plain)


def _behind(link: str) -> FileFacts | None:
    status, text = os.stat(link), clean_text(os.readlink(link.encode()))
    if not stat.S_ISREG(status.st_mode) or (not status.st_nlink and _HERE_DOCUMENT.fullmatch(text)):
        return None
    return file_facts(text, status)


def _follow(root: str, path: bytes) -> bytes:
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return follow_first_link(root_fd, path)
    finally:
        os.close(root_fd)
