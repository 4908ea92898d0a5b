"""The network as OCSF's classes 4001 (connections, TLS names) and 4003 (DNS)."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from outrider_collector.lake.classes import DNS_ACTIVITY
from outrider_collector.lake.columns import (
    NOTHING,
    Flat,
    Told,
    about,
    actor_columns,
    addresses,
    base_columns,
    hostnames,
    ints,
    ports,
    same,
    texts,
)

OPEN: Final = 1
TRAFFIC: Final = 6
QUERY: Final = 1
RESPONSE: Final = 2

DIRECTIONS: Final = {"inbound": 1, "outbound": 2}

PROTOCOLS: Final = {"tcp": 6, "udp": 17}

RCODES: Final = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "YXDOMAIN": 6,
                 "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10}  # fmt: skip

_ANSWERS = DNS_ACTIVITY.columns["answers"]


def map_connection(told: Told) -> Flat:
    """ConnectionOpened: open; the source is who sent the SYN."""
    events = told.events
    columns = base_columns(
        told,
        activity=OPEN,
        message=[f"{event.direction} {event.destination}:{event.destination_port}" for event in events],
    )
    columns |= _endpoint("src_endpoint", [e.source for e in events], [e.source_port for e in events])
    columns |= _endpoint("dst_endpoint", [e.destination for e in events], [e.destination_port for e in events])
    columns["connection_info.direction_id"] = ints([DIRECTIONS.get(event.direction, 0) for event in events])
    return columns | _protocol([e.protocol for e in events]) | about(told) | actor_columns(told)


def map_server_name(told: Told) -> Flat:
    """ServerNamed: traffic to a server that TLS named; the name is in `unmapped.name` too, whatever it looks like."""
    events = told.events
    columns = base_columns(told, activity=TRAFFIC, message=[f"TLS to {event.name}" for event in events])
    columns |= _endpoint("src_endpoint", [e.source for e in events], [e.source_port for e in events])
    columns |= _endpoint("dst_endpoint", [e.destination for e in events], [e.destination_port for e in events])
    names = texts([event.name or None for event in events])
    columns["dst_endpoint.hostname"] = hostnames(names)
    columns["unmapped.name"] = names
    columns["connection_info.direction_id"] = same(DIRECTIONS["outbound"], pa.int32(), len(events))
    return columns | _protocol(["tcp"] * len(events)) | about(told) | actor_columns(told)


def map_query(told: Told) -> Flat:
    """NameQueried: a query to a server."""
    events = told.events
    columns = _dns(told, QUERY, [f"{event.record_type} {event.name}" for event in events])
    columns |= _endpoint("dst_endpoint", [e.server for e in events], [e.server_port for e in events])
    columns["src_endpoint.port"] = ports([event.source_port for event in events])
    columns["src_endpoint.name"] = same("task", pa.string(), len(events))
    columns["connection_info.direction_id"] = same(DIRECTIONS["outbound"], pa.int32(), len(events))
    return columns | _protocol([event.transport for event in events])


def map_response(told: Told) -> Flat:
    """NameResolved: a response with its answers."""
    events = told.events
    message = [
        f"{event.record_type} {event.name} {event.code} {' '.join((*event.aliases, *event.addresses))}"
        for event in events
    ]
    columns = _dns(told, RESPONSE, message)
    columns |= _endpoint("dst_endpoint", [e.server for e in events], [53] * len(events))
    columns["rcode"] = texts([event.code for event in events])
    columns["rcode_id"] = ints([RCODES.get(event.code, 99) for event in events])
    columns["answers"] = pa.array([_answers(event) for event in events], _ANSWERS)
    return columns


def _dns(told: Told, activity: int, message: Sequence[str]) -> Flat:
    """`query` is there where its name is a hostname to OCSF; `unmapped.name` always."""
    names = texts([event.name or None for event in told.events])
    hosts = hostnames(names)
    columns = base_columns(told, activity=activity, message=message)
    columns["unmapped.name"] = names
    columns["query.hostname"] = hosts
    columns["query.type"] = pc.if_else(pc.is_valid(hosts), texts([event.record_type for event in told.events]), NOTHING)
    return columns | about(told) | actor_columns(told)


def _answers(event: object) -> list[dict[str, object]] | None:
    ttl = getattr(event, "ttl_s", 0)
    ttl = ttl if 0 <= ttl < 1 << 31 else None
    kind, aliases, found = (getattr(event, name) for name in ("record_type", "aliases", "addresses"))
    answers: list[dict[str, object]] = [{"rdata": name, "type": "CNAME", "ttl": ttl} for name in aliases]
    answers += [{"rdata": address, "type": kind, "ttl": ttl} for address in found]
    return answers or None


def _endpoint(prefix: str, told: Sequence[str], told_ports: Sequence[int]) -> Flat:
    """An endpoint; one whose address is none goes by what was told, or `unknown`."""
    ips = addresses(told)
    names = texts([text or "unknown" for text in told])
    return {
        f"{prefix}.ip": ips,
        f"{prefix}.port": ports(told_ports),
        f"{prefix}.name": pc.if_else(pc.is_valid(ips), NOTHING, names),
    }


def _protocol(names: Sequence[str]) -> Flat:
    return {
        "connection_info.protocol_name": texts(names),
        "connection_info.protocol_num": ints([PROTOCOLS.get(name) for name in names]),
    }
