"""Fields of connections and questions: Falco's `fd.*` for sockets, our `net.direction`.

The client is who sent the SYN or the question, the server whom it was sent to; local is our end, remote the other.
"""

from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import CONNECTION_TYPES, SOCKET_TYPES
from outrider_wire.events import ConnectionOpened, NameQueried


def _connection(context: Context) -> ConnectionOpened | None:
    return context.event if isinstance(context.event, ConnectionOpened) else None


def connection_name(context: Context) -> str | None:
    """Falco's form of a connection: source first."""
    event = context.event
    if isinstance(event, ConnectionOpened):
        return f"{event.source}:{event.source_port}->{event.destination}:{event.destination_port}"
    if isinstance(event, NameQueried) and event.server:
        return f":{event.source_port}->{event.server}:{event.server_port}"
    return None


def client_address(context: Context) -> str | None:
    event = _connection(context)
    return event.source if event else None


def client_port(context: Context) -> int | None:
    event = context.event
    return event.source_port or None if isinstance(event, ConnectionOpened | NameQueried) else None


def server_address(context: Context) -> str | None:
    event = context.event
    if isinstance(event, NameQueried):
        return event.server or None
    return event.destination if isinstance(event, ConnectionOpened) else None


def server_port(context: Context) -> int | None:
    event = context.event
    if isinstance(event, NameQueried):
        return event.server_port
    return event.destination_port if isinstance(event, ConnectionOpened) else None


def _is_server(context: Context) -> bool:
    event = _connection(context)
    return event is not None and event.direction == "inbound"


def local_address(context: Context) -> str | None:
    return server_address(context) if _is_server(context) else client_address(context)


def local_port(context: Context) -> int | None:
    return server_port(context) if _is_server(context) else client_port(context)


def remote_address(context: Context) -> str | None:
    return client_address(context) if _is_server(context) else server_address(context)


def remote_port(context: Context) -> int | None:
    return client_port(context) if _is_server(context) else server_port(context)


def addresses(context: Context) -> list[str]:
    """Both ends."""
    return [end for end in (client_address(context), server_address(context)) if end]


def ports(context: Context) -> list[int]:
    return [end for end in (client_port(context), server_port(context)) if end]


def _names(context: Context, address: str | None) -> list[str]:
    return list(context.world.names.of(address)) if address else []


def server_names(context: Context) -> list[str]:
    return _names(context, server_address(context))


def client_names(context: Context) -> list[str]:
    return _names(context, client_address(context))


def local_names(context: Context) -> list[str]:
    return _names(context, local_address(context))


def remote_names(context: Context) -> list[str]:
    return _names(context, remote_address(context))


def protocol(context: Context) -> str | None:
    event = context.event
    if isinstance(event, NameQueried):
        return event.transport
    return event.protocol if isinstance(event, ConnectionOpened) else None


def connection_protocol(context: Context) -> str | None:
    event = _connection(context)
    return event.protocol if event else None


def family(context: Context) -> str | None:
    address = server_address(context)
    return ("ipv6" if ":" in address else "ipv4") if address else None


def socket_family(context: Context) -> str | None:
    return "ip" if server_address(context) else None


def is_server(context: Context) -> bool | None:
    return _is_server(context) if server_address(context) else None


def direction(context: Context) -> str | None:
    event = _connection(context)
    return event.direction if event else None


TAP: Final = "the packet tap"
ANSWERS: Final = "DNS answers seen"
BY_ANSWERS: Final = "names by the DNS answers seen since the sidecar started"
SOME_UDP: Final = "of UDP only DNS questions are seen, and sockets with a peer that live for 0.2 s"
_ENDS: Final = (
    ("c", "client", "who sent the SYN", client_address, client_port, client_names),
    ("s", "server", "whom it was sent to", server_address, server_port, server_names),
    ("l", "local", "our end", local_address, local_port, local_names),
    ("r", "remote", "the other end", remote_address, remote_port, remote_names),
)

FIELDS = (
    *(
        Field(f"fd.{short}{word}", "ip", address, events=SOCKET_TYPES, doc=f"Address of {who}.", source=TAP)
        for short, _, who, address, _, _ in _ENDS
        for word in ("ip", "net")
    ),
    *(
        Field(f"fd.{short}port", "int", port, events=SOCKET_TYPES, doc=f"Port of {who}.", source=TAP)
        for short, _, who, _, port, _ in _ENDS
    ),
    *(
        Field(
            f"fd.{short}ip.name",
            "list[str]",
            names,
            events=SOCKET_TYPES,
            weaker=BY_ANSWERS,
            doc=f"Names of {who}.",
            source=ANSWERS,
        )
        for short, _, who, _, _, names in _ENDS
    ),
    Field("fd.ip", "list[ip]", addresses, many="ends", events=SOCKET_TYPES, doc="Address of either end.", source=TAP),
    Field("fd.net", "list[ip]", addresses, many="ends", events=SOCKET_TYPES, doc="Address of either end.", source=TAP),
    Field("fd.port", "list[int]", ports, many="ends", events=SOCKET_TYPES, doc="Port of either end.", source=TAP),
    Field("fd.l4proto", "str", protocol, events=SOCKET_TYPES, weaker=SOME_UDP, doc="tcp or udp.", source=TAP),
    Field("fd.sockfamily", "str", socket_family, events=SOCKET_TYPES, doc="ip."),
    Field("fd.is_server", "bool", is_server, events=SOCKET_TYPES, doc="Our end accepted the connection.", source=TAP),
    Field("net.protocol", "str", connection_protocol, events=CONNECTION_TYPES, doc="tcp or udp.", source=TAP),
    Field("net.direction", "str", direction, events=CONNECTION_TYPES, doc="outbound, inbound or unknown.", source=TAP),
)
