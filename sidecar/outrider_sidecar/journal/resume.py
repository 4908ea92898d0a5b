"""The resume key: what proves to the collector that a sidecar is the successor of the one before it.

It is made once for a journal and kept 0600 beside it, on a volume of the sidecar alone. Whoever reads it can take
the sidecar's place, and nothing more: batches already sent are signed by other keys.
"""

import os
from pathlib import Path

from outrider_wire.signing import KEY_BYTES, SigningKey

NAME = "resume.key"


def load_resume_key(directory: Path) -> SigningKey:
    """The journal's resume key, made and kept on the first call.

    When it cannot be kept (a full disk), the key lives as long as the process; a later start is then no successor.
    """
    path = directory / NAME
    try:
        return SigningKey.from_seed(path.read_bytes()[: KEY_BYTES + 1])
    except (OSError, ValueError):
        pass  # there is none, or half of one: made anew
    key = SigningKey.generate()
    _keep(path, key.seed())
    return key


def _keep(path: Path, seed: bytes) -> None:
    draft = path.with_suffix(".tmp")
    try:
        draft.unlink(missing_ok=True)
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, seed)
        finally:
            os.close(fd)
        draft.rename(path)
    except OSError:
        pass  # see load_resume_key: it lives in memory then
