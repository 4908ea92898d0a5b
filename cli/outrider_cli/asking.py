"""How a reader reaches a collector: its address and token, from options or the environment."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from outrider_collector.client import Client
from outrider_wire.errors import ConfigError, DeliveryError, Unavailable, WireError


def add_collector_arguments(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Options for the collector; `again`: below a command that has them, too, and whose values stay."""
    none = argparse.SUPPRESS if again else None
    parser.add_argument(
        "--collector", metavar="URL", default=none, help="address of the collector (OUTRIDER_COLLECTOR_URL)"
    )
    parser.add_argument(
        "--token-file", metavar="FILE", default=none, help="a file with the token (else OUTRIDER_TOKEN)"
    )
    parser.add_argument("--ca-file", metavar="FILE", default=none or "", help="authorities to trust, PEM")
    parser.add_argument("--json", action="store_true", default=none or False, help="one JSON object a line")


@contextmanager
def asking(arguments: argparse.Namespace) -> Iterator[Client]:
    """The client; what the collector refuses is said as it says it.

    Raises:
        ConfigError: address or token is missing. Unavailable: the collector refused, or did not answer.
    """
    try:
        yield client_of(arguments)
    except WireError as error:
        raise Unavailable(f"the collector refuses: {error}") from error
    except DeliveryError as error:
        raise Unavailable(f"the collector did not answer: {error}") from error


def client_of(arguments: argparse.Namespace) -> Client:
    """Raises ConfigError where address or token is missing."""
    url = arguments.collector or os.environ.get("OUTRIDER_COLLECTOR_URL", "")
    if not url:
        raise ConfigError("which collector? give --collector URL or set OUTRIDER_COLLECTOR_URL")
    try:
        named = arguments.token_file
        token = Path(named).read_text().strip() if named else os.environ.get("OUTRIDER_TOKEN")
    except OSError as error:
        raise ConfigError(f"--token-file {arguments.token_file}: {error.strerror}") from error
    if not token:
        raise ConfigError("which token? give --token-file FILE or set OUTRIDER_TOKEN")
    return Client(url, token, ca_file=arguments.ca_file)
