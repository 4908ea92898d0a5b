"""What rules call each event: `evt.type`, Falco's word where there is one."""

from typing import Final

from outrider_wire.events import (
    ConnectionOpened,
    Event,
    FileChanged,
    LibraryLoaded,
    NameQueried,
    NameResolved,
    ProcessExecuted,
    ProcessExited,
    ProcessReleased,
    ProcessStarted,
    ServerNamed,
    SightLost,
    StdioTied,
    SyscallMade,
)

_CHANGES: Final = {
    "created": "open",
    "written": "open",
    "moved_in": "rename",
    "moved_out": "rename",
    "deleted": "unlink",
    "attributes": "chmod",
    "linked": "link",
    "found": "file_found",
}
_FIXED: Final[dict[type, str]] = {
    ProcessStarted: "clone",
    ProcessExecuted: "execve",
    ProcessExited: "procexit",
    ProcessReleased: "released",
    LibraryLoaded: "library_load",
    NameQueried: "dns_query",
    NameResolved: "dns_answer",
    ServerNamed: "tls_hello",
    StdioTied: "stdio_tied",
    SightLost: "sight_lost",
}

FILE_TYPES: Final = frozenset(_CHANGES.values())
LIBRARY_TYPES: Final = frozenset(("library_load",))
CONNECTION_TYPES: Final = frozenset(("connect", "accept"))
QUERY_TYPES: Final = frozenset(("dns_query",))
NAME_TYPES: Final = frozenset(("dns_query", "dns_answer"))
TLS_TYPES: Final = frozenset(("tls_hello",))
TIE_TYPES: Final = frozenset(("stdio_tied",))


def event_type(event: Event) -> str:
    """The value of `evt.type` for an event."""
    fixed = _FIXED.get(type(event))
    if fixed is not None:
        return fixed
    if isinstance(event, FileChanged):
        return _CHANGES[event.change]
    if isinstance(event, ConnectionOpened):
        return "accept" if event.direction == "inbound" else "connect"
    assert isinstance(event, SyscallMade)
    return event.name
