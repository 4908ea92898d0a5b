"""Places a lake can lie in: a local directory or a bucket, behind one face. A file is there whole, or not at all.

On a local disk a file is written beside its place, fsynced and renamed, and the directory fsynced. On S3 an object
appears when its upload is completed, and one whose writer died never does.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from pyarrow import fs

from outrider_wire.errors import ConfigError

CONNECT_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_S: Final = 30.0


class Lake(Protocol):
    """Where a lake lies. Paths are relative to its root. All raise OSError where the place cannot be used."""

    root: str
    """Its directory, or bucket and prefix, for `filesystem`."""

    filesystem: fs.FileSystem

    def put(self, path: str, data: Any) -> None:
        """Write a file as a whole, replacing what is there; on return it is kept."""

    def read(self, path: str) -> bytes | None:
        """A file, or None where there is none."""

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""

    def remove_tree(self, path: str) -> None:
        """Remove a directory and all in it."""


def open_lake(location: str, *, endpoint: str = "", region: str = "") -> Lake:
    """The lake at a path or s3://bucket/prefix. `endpoint` is another host than AWS's. Raises ConfigError."""
    if not location.startswith("s3://"):
        return LocalLake(Path(location))
    parts = urlsplit(location)
    if not parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"the lake {location!r} is not of the form s3://bucket/prefix")
    options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "request_timeout": REQUEST_TIMEOUT_S}
    if endpoint:
        at = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
        options |= {"endpoint_override": at.netloc, "scheme": at.scheme}
    if region:
        options["region"] = region
    return S3Lake("/".join(part for part in (parts.netloc, parts.path.strip("/")) if part), fs.S3FileSystem(**options))


class LocalLake:
    """A lake in a directory."""

    def __init__(self, directory: Path) -> None:
        self.root = str(directory.absolute())
        self.filesystem = fs.LocalFileSystem()

    def put(self, path: str, data: Any) -> None:
        whole = Path(self.root, path)
        _make_directory(whole.parent)
        beside = whole.with_name(f".{whole.name}.part")
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(whole)
        _sync_directory(whole.parent)

    def read(self, path: str) -> bytes | None:
        try:
            return Path(self.root, path).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, path: str) -> None:
        whole = Path(self.root, path)
        whole.unlink(missing_ok=True)
        whole.with_name(f".{whole.name}.part").unlink(missing_ok=True)

    def remove_tree(self, path: str) -> None:
        self.filesystem.delete_dir(str(Path(self.root, path)))


class S3Lake:
    """A lake in a bucket."""

    def __init__(self, root: str, filesystem: fs.FileSystem) -> None:
        self.root, self.filesystem = root, filesystem

    def put(self, path: str, data: Any) -> None:
        with self.filesystem.open_output_stream(f"{self.root}/{path}") as stream:
            stream.write(data)

    def read(self, path: str) -> bytes | None:
        try:
            with self.filesystem.open_input_stream(f"{self.root}/{path}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def remove(self, path: str) -> None:
        try:
            self.filesystem.delete_file(f"{self.root}/{path}")
        except FileNotFoundError:
            pass

    def remove_tree(self, path: str) -> None:
        self.filesystem.delete_dir(f"{self.root}/{path}")


def list_below(lake: Lake, path: str) -> Iterator[tuple[str, bool]]:
    """Names in a directory, relative to the root, and whether each is a directory; none where there is none."""
    selector = fs.FileSelector(f"{lake.root}/{path}", allow_not_found=True)
    for info in lake.filesystem.get_file_info(selector):
        yield info.path.removeprefix(lake.root).lstrip("/"), info.type == fs.FileType.Directory


def list_files(lake: Lake, path: str) -> Iterator[tuple[str, int]]:
    """Files in a directory, relative to the root, with their sizes in bytes."""
    selector = fs.FileSelector(f"{lake.root}/{path}", allow_not_found=True)
    for info in lake.filesystem.get_file_info(selector):
        if info.type == fs.FileType.File:
            yield info.path.removeprefix(lake.root).lstrip("/"), info.size


def _make_directory(directory: Path) -> None:
    """Make it and what is above it, each kept before what lies in it."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode=0o750, exist_ok=True)
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
