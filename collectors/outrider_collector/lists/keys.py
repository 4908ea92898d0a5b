"""The list key: what this collector, or all that share it, sign their lists with."""

import os
from pathlib import Path
from typing import Final

from outrider_wire.errors import ConfigError
from outrider_wire.signing import SigningKey

FILE: Final = "list-key"


def load_list_key(data: Path, given: Path | None = None) -> SigningKey:
    """The key in the file that was given, else this collector's own, made the first time and kept 0600.

    Raises:
        ConfigError: it cannot be read or made, or is no key.
    """
    path = given if given is not None else data / FILE
    try:
        if given is None and not path.exists():
            _make(path)
        return SigningKey.from_seed(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the list key {path} cannot be used: {error}") from error


def read_list_key(digits: str) -> SigningKey:
    """The key of 64 hexadecimal digits. Raises ConfigError, which does not repeat them."""
    try:
        return SigningKey.from_seed(bytes.fromhex(digits.strip()))
    except ValueError as error:
        raise ConfigError("lists_key is no key: it must be 64 hexadecimal digits") from error


def _make(path: Path) -> None:
    """Whole or not at all, and the first of two that try wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(SigningKey.generate().seed().hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
