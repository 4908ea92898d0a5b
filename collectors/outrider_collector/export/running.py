"""The exports of one collector: a thread each, so that one whose target is slow or down holds nobody up."""

import importlib.util
import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.export.configuration import (
    KINDS,
    EventBridge,
    Export,
    Falcosidekick,
    Lines,
    SecurityHub,
    Syslog,
    Webhook,
)
from outrider_collector.export.counters import Counters
from outrider_collector.export.pump import Pump
from outrider_collector.export.target import Target
from outrider_collector.store.database import writing
from outrider_collector.store.exports import ensure_export
from outrider_wire.errors import ConfigError

log = logging.getLogger("outrider.collector.export")

CLOSE_S: Final = 5.0
"""Longest wait for sends that are under way when the collector ends; what they send is sent again."""


def make_target(export: Export) -> Target:
    """The target of an export; only what its kind needs is imported. Raises ConfigError for what cannot be used."""
    if getattr(export, "format", "") == "ocsf" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"export {export.name}: ocsf needs pyarrow; install outrider[collector]")
    match export:
        case SecurityHub() | EventBridge():
            return _aws_target(export)
        case Falcosidekick():
            from outrider_collector.export.http_targets import falcosidekick_target

            return falcosidekick_target(export)
        case Webhook():
            from outrider_collector.export.http_targets import webhook_target

            return webhook_target(export)
        case Lines():
            from outrider_collector.export.lines import LinesTarget

            return LinesTarget(export)
        case Syslog():
            from outrider_collector.export.syslog_target import SyslogTarget

            return SyslogTarget(export)
    raise ConfigError(f"export {export.name}: no such kind; there are {', '.join(KINDS)}")


def _aws_target(export: SecurityHub | EventBridge) -> Target:
    if importlib.util.find_spec("boto3") is None:
        raise ConfigError(f"export {export.name} needs boto3, which is not installed; install outrider[collector]")
    if isinstance(export, EventBridge):
        from outrider_collector.export.event_bridge import EventBridgeTarget

        return EventBridgeTarget(export)
    from outrider_collector.export.security_hub import SecurityHubTarget

    return SecurityHubTarget(export)


class Exports:
    """The exports of this collector, which run inside a `with`. Raises ConfigError."""

    def __init__(self, engine: Engine, exports: Sequence[Export], *, collector: str) -> None:
        self.counters = [Counters(name=export.name, kind=kind_of(export)) for export in exports]
        targets = [make_target(export) for export in exports]
        try:
            for export in exports:
                with writing(engine) as connection:
                    ensure_export(connection, export.name, from_beginning=export.begin == "all")
        except SQLAlchemyError as error:
            raise ConfigError(f"exports cannot be begun: {error}") from error
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(Pump(engine, export, target, holder=collector, counters=counters),),
                name=f"export-{export.name}",
                daemon=True,
            )
            for export, target, counters in zip(exports, targets, self.counters, strict=True)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Exports":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self, *, deadline_s: float = CLOSE_S) -> None:
        """End; a send that takes longer is left to itself."""
        self._stop.set()
        until_s = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(until_s - time.monotonic(), 0.0))

    def _run(self, pump: Pump) -> None:
        try:
            while not self._stop.is_set():
                wait_s = pump.step()
                if wait_s:
                    self._stop.wait(wait_s * (0.9 + random.random() / 5))
        finally:
            pump.close()


def kind_of(export: Export) -> str:
    """The kind as settings call it."""
    return next(kind for kind, model in KINDS.items() if type(export) is model)
