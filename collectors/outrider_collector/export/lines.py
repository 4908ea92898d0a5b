"""One JSON object a line, to standard output or to a file that is appended to and may be moved away (logrotate)."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from outrider_collector.export.configuration import Lines
from outrider_collector.export.formats import FORMATS
from outrider_collector.export.target import SENT, Outcome
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import ConfigError, DeliveryError

MAX_ITEMS: Final = 100
STDOUT: Final = "-"


class LinesTarget:
    """Appends lines; a file is opened anew each time and kept to its owner. Raises ConfigError for no directory."""

    max_items = MAX_ITEMS

    def __init__(self, export: Lines) -> None:
        self._path, self._encode = export.path, FORMATS[export.format]
        if self._path != STDOUT and not Path(self._path).absolute().parent.is_dir():
            raise ConfigError(f"export {export.name}: the directory of {self._path!r} is not there")

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        lines = b"".join(self._encode(each) + b"\n" for each in found)
        try:
            if self._path == STDOUT:
                _write_all(sys.stdout.fileno(), lines)
            else:
                self._append(lines)
        except (OSError, ValueError) as error:
            raise DeliveryError(f"cannot be written: {error}"[:300]) from error
        return [SENT] * len(found)

    def close(self) -> None:
        """Nothing is held."""

    def _append(self, lines: bytes) -> None:
        """All of it or nothing: what was half written when the disk was full is taken back."""
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(fd)
            try:
                _write_all(fd, lines)
                if stat.S_ISREG(before.st_mode):
                    os.fsync(fd)
            except OSError:
                if stat.S_ISREG(before.st_mode):
                    os.ftruncate(fd, before.st_size)
                raise
        finally:
            os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
