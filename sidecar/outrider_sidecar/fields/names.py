"""Our fields of names and of shells' streams: `dns.*`, `tls.*` and `stdio.*`."""

from typing import Final

from outrider_rules.catalogue import Field
from outrider_sidecar.fields.context import Context
from outrider_sidecar.world.kinds import NAME_TYPES, QUERY_TYPES, TIE_TYPES, TLS_TYPES
from outrider_wire.events import NameQueried, NameResolved, ServerNamed, StdioTied


def dns_name(context: Context) -> str | None:
    return context.event.name if isinstance(context.event, NameQueried | NameResolved) else None


def dns_type(context: Context) -> str | None:
    return context.event.record_type if isinstance(context.event, NameQueried | NameResolved) else None


def dns_server(context: Context) -> str | None:
    return context.event.server or None if isinstance(context.event, NameQueried | NameResolved) else None


def dns_transport(context: Context) -> str | None:
    return context.event.transport if isinstance(context.event, NameQueried) else None


def tls_server_name(context: Context) -> str | None:
    return context.event.name if isinstance(context.event, ServerNamed) else None


def _tie(context: Context) -> StdioTied | None:
    return context.event if isinstance(context.event, StdioTied) else None


def stdio_tie(context: Context) -> str | None:
    return tie.tie if (tie := _tie(context)) else None


def stdio_direction(context: Context) -> str | None:
    return tie.direction if (tie := _tie(context)) else None


def stdio_remote(context: Context) -> str | None:
    tie = _tie(context)
    if tie is None:
        return None
    address = f"[{tie.remote}]" if ":" in tie.remote else tie.remote
    return f"{address}:{tie.remote_port}"


def stdio_local(context: Context) -> str | None:
    tie = _tie(context)
    return f"{tie.local}:{tie.local_port}" if tie else None


def stdio_via(context: Context) -> str | None:
    tie = _tie(context)
    return "; ".join(tie.via) if tie else None


def stdio_holder(context: Context) -> str | None:
    tie = _tie(context)
    holder = context.world.tree.get(tie.holder) if tie else None
    return f"{holder.cmdline} (pid {holder.id.pid})" if holder else None


def stdio_remote_names(context: Context) -> list[str]:
    tie = _tie(context)
    return list(context.world.names.of(tie.remote)) if tie else []


TAP: Final = "the packet tap"
LINEAGE: Final = "stdio lineage"

FIELDS = (
    Field("dns.name", "str", dns_name, events=NAME_TYPES, doc="The name asked for.", source=TAP),
    Field("dns.type", "str", dns_type, events=NAME_TYPES, doc="The record type asked for.", source=TAP),
    Field("dns.server", "str", dns_server, events=NAME_TYPES, doc="The resolver.", source=TAP),
    Field("dns.transport", "str", dns_transport, events=QUERY_TYPES, doc="udp or tcp.", source=TAP),
    Field("tls.server_name", "str", tls_server_name, events=TLS_TYPES, doc="The server a ClientHello names."),
    Field("stdio.tie", "str", stdio_tie, events=TIE_TYPES, doc="How the shell's streams lead out.", source=LINEAGE),
    Field("stdio.direction", "str", stdio_direction, events=TIE_TYPES, doc="Who opened it.", source=LINEAGE),
    Field("stdio.remote", "str", stdio_remote, events=TIE_TYPES, doc="The remote end.", source=LINEAGE),
    Field("stdio.local", "str", stdio_local, events=TIE_TYPES, doc="Our end.", source=LINEAGE),
    Field("stdio.via", "str", stdio_via, events=TIE_TYPES, doc="The steps between, in words.", source=LINEAGE),
    Field("stdio.holder", "str", stdio_holder, events=TIE_TYPES, doc="Who has the connection.", source=LINEAGE),
    Field("stdio.remote_names", "list[str]", stdio_remote_names, events=TIE_TYPES, doc="Names of the remote end."),
)
