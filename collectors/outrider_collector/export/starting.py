"""Starting exports: from the collector's settings to threads that run."""

from sqlalchemy import Engine

from outrider_collector.export.configuration import load_exports
from outrider_collector.export.running import Exports
from outrider_collector.settings import Settings


def open_exports(settings: Settings, engine: Engine, collector: str) -> Exports:
    """The exports that the settings list, begun in the store and run by `with`. Raises ConfigError."""
    return Exports(engine, load_exports(settings.exports, settings.exports_file), collector=collector)
