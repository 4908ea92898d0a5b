"""Targets that take one finding for each POST: falcosidekick, and webhooks, whose requests are signed."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from outrider_collector.export.configuration import Falcosidekick, Webhook
from outrider_collector.export.formats import FORMATS, Encode
from outrider_collector.export.posting import Poster
from outrider_collector.export.signing import read_secrets, sign
from outrider_collector.export.target import SEND_S, Outcome
from outrider_collector.store.stored import StoredFinding
from outrider_wire.errors import ConfigError, DeliveryError

MAX_ITEMS: Final = 50
USER_AGENT: Final = "outrider-collector"

Headers = Callable[[StoredFinding, bytes], Mapping[str, str]]


class HttpTarget:
    """Posts findings one after another over one connection, and stops at the first that does not get through."""

    max_items = MAX_ITEMS

    def __init__(self, poster: Poster, encode: Encode, headers: Headers, *, timeout_s: float) -> None:
        self._poster, self._encode, self._headers = poster, encode, headers
        self._enough_s = SEND_S - timeout_s - 1.0

    def send(self, found: Sequence[StoredFinding]) -> list[Outcome]:
        began_s = time.monotonic()
        outcomes: list[Outcome] = []
        for each in found:
            body = self._encode(each)
            try:
                outcomes.append(self._poster.post(body, {"User-Agent": USER_AGENT, **self._headers(each, body)}))
            except DeliveryError:
                if not outcomes:
                    raise
                break  # it is tried again, as the first
            if time.monotonic() - began_s > self._enough_s:
                break
        return outcomes

    def close(self) -> None:
        self._poster.close()


def falcosidekick_target(export: Falcosidekick) -> HttpTarget:
    """Falco's alerts. Raises ConfigError."""
    where = f"export {export.name}"
    poster = Poster(export.url, ca_file=export.ca_file, timeout_s=export.timeout_s, where=where)
    return HttpTarget(poster, FORMATS["falco"], _no_headers, timeout_s=export.timeout_s)


def _no_headers(found: StoredFinding, body: bytes) -> Mapping[str, str]:
    del found, body
    return {}


def webhook_target(export: Webhook, *, wall_s: Callable[[], float] = time.time) -> HttpTarget:
    """Signed JSON. Raises ConfigError."""
    where = f"export {export.name}"
    try:
        secrets = read_secrets(Path(export.secret_file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: secret_file {export.secret_file!r} cannot be used: {error}") from error

    def headers(found: StoredFinding, body: bytes) -> Mapping[str, str]:
        identity = {"Outrider-Id": found.id, "Outrider-Change": str(found.change)}
        return identity | sign(secrets, body, now_s=int(wall_s()))

    poster = Poster(export.url, ca_file=export.ca_file, timeout_s=export.timeout_s, where=where)
    return HttpTarget(poster, FORMATS[export.format], headers, timeout_s=export.timeout_s)
