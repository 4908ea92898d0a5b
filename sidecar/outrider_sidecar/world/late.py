"""Facts that nobody reads before a rule asks for them: what they are, and the answer where nobody can.

Reading them at the exec stop would keep every guarded program waiting for what one rule in fifty wants to know. They
are read when asked for, once for an event, from a process that may be gone by then: None says so. What must be read
comes into the pure core as this one argument.
"""

from collections.abc import Iterable
from typing import Protocol

from outrider_sidecar.decode.accounts import Accounts
from outrider_sidecar.decode.mountinfo import Mount
from outrider_sidecar.decode.status import Status
from outrider_wire.events import FileFacts, ProcessId


class LateFacts(Protocol):
    """Reads what a rule asks for. Nothing here raises; None is what could not be read."""

    def status(self, process: ProcessId) -> Status | None:
        """Capabilities, ids and namespaces' pids of a living process."""

    def login_uid(self, process: ProcessId) -> int | None:
        """Its login uid; -1 where it was never set."""

    def owner_of_exe(self, process: ProcessId) -> tuple[int, int] | None:
        """Owner and group of the file it runs."""

    def accounts(self, mnt_ns: int) -> Accounts | None:
        """The users and groups that the container itself knows."""

    def bounding(self, mnt_ns: int) -> int | None:
        """The capabilities that the container's oldest process could ever have, as bits."""

    def mounts(self, mnt_ns: int) -> tuple[Mount, ...] | None:
        """What is mounted in the container."""

    def link_target(self, mnt_ns: int, path: str) -> str | None:
        """What a symbolic link in the container says."""

    def other_name(self, mnt_ns: int, file: FileFacts, directories: Iterable[str]) -> str | None:
        """Another name of a file in one of some directories of the container."""


class NothingLate:
    """For where nothing can be read any more: transcripts and recorded events."""

    def status(self, process: ProcessId) -> Status | None:
        del process
        return None

    def login_uid(self, process: ProcessId) -> int | None:
        del process
        return None

    def owner_of_exe(self, process: ProcessId) -> tuple[int, int] | None:
        del process
        return None

    def accounts(self, mnt_ns: int) -> Accounts | None:
        del mnt_ns
        return None

    def bounding(self, mnt_ns: int) -> int | None:
        del mnt_ns
        return None

    def mounts(self, mnt_ns: int) -> tuple[Mount, ...] | None:
        del mnt_ns
        return None

    def link_target(self, mnt_ns: int, path: str) -> str | None:
        del mnt_ns, path
        return None

    def other_name(self, mnt_ns: int, file: FileFacts, directories: Iterable[str]) -> str | None:
        del mnt_ns, file, directories
        return None
