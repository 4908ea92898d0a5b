"""Endpoints: the addresses that count as STS here. An exact list, made of the settings; nothing is matched by shape.

A regional endpoint is meant always: the global one signs for us-east-1 and its credentials can be refused elsewhere.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from outrider_wire.errors import ConfigError

_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-[0-9]{1,2}\Z")


class Endpoint(Struct, frozen=True):
    """One STS. `partition` is what ARNs in its answers begin with, empty where any will do; `region` likewise."""

    url: str
    scheme: str
    host: str
    port: int | None
    region: str = ""
    partition: str = ""

    @property
    def host_header(self) -> str:
        """What the signed `host` must be."""
        return urlsplit(self.url).netloc


def allowed_endpoints(regions: list[str], override: str) -> Mapping[str, Endpoint]:
    """The endpoints by URL. `override` is then the only one. Raises ConfigError."""
    if override:
        endpoint = read_override(override)
        return {endpoint.url: endpoint}
    return {endpoint.url: endpoint for region in regions for endpoint in (of_region(region),)}


def of_region(region: str) -> Endpoint:
    """The STS of a region. Raises ConfigError for what is no region's name."""
    if not _REGION.match(region):
        raise ConfigError(f"{region!r} is no AWS region")
    host = f"sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    return Endpoint(f"https://{host}/", "https", host, None, region, _partition(region))


def read_override(url: str) -> Endpoint:
    """An STS at an address of the operator's: a VPC endpoint, or a stand-in on loopback. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"sts_endpoint {url!r}: {error}") from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and not parts.username
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise ConfigError(f"sts_endpoint {url!r} is not of the form https://HOST")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(f"sts_endpoint {url!r}: who answers there decides who is let in; it must be https")
    return Endpoint(f"{parts.scheme}://{parts.netloc}/", parts.scheme, host, port)


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
