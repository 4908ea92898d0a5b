"""What is kept of the threat lists beside the journal: the key that they must be signed with, and the last document.

Both outlive a restart of the sidecar. The key is the first that a collector showed at enrolment, as long as the volume
lives, or the one in the settings; the version only grows. A file that cannot be read is as none.
"""

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from outrider_wire.errors import WireError
from outrider_wire.lists import MAX_DOCUMENT_BYTES, ListDocument, open_lists

PIN_FILE: Final = "lists-pin"
DOCUMENT_FILE: Final = "lists"
MAX_PIN_BYTES: Final = 4_096


class Pin(Struct, frozen=True):
    """The public key that lists are verified with, and the newest version that was taken."""

    key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    version: Annotated[int, Meta(ge=0)] = 0


class KeptLists:
    """The two files. For one thread."""

    def __init__(self, directory: Path) -> None:
        self._pin = directory / PIN_FILE
        self._document = directory / DOCUMENT_FILE

    def load_pin(self) -> Pin | None:
        """None where nothing was pinned yet."""
        try:
            return msgspec.msgpack.decode(self._pin.read_bytes()[:MAX_PIN_BYTES], type=Pin)
        except (OSError, ValueError):
            return None

    def save_pin(self, pin: Pin) -> None:
        """Raises OSError."""
        _replace(self._pin, msgspec.msgpack.encode(pin))

    def load(self, pin: Pin, *, max_table_bytes: int) -> ListDocument | None:
        """The document that was taken last, verified anew. None where there is none, or it is damaged or too old."""
        try:
            if self._document.stat().st_size > MAX_DOCUMENT_BYTES:
                return None
            document = open_lists(self._document.read_bytes(), pin.key, max_table_bytes=max_table_bytes)
        except (OSError, WireError):
            return None
        return document if document.header.version >= pin.version else None

    def save(self, data: bytes, pin: Pin) -> None:
        """Keep a document that was taken; first its version: no older one is ever taken again. Raises OSError."""
        self.save_pin(pin)
        _replace(self._document, data)


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.tmp")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)
