"""Starting the lists: from the collector's settings to a publisher that runs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.lists.keys import load_list_key, read_list_key
from outrider_collector.lists.publishing import Publisher
from outrider_collector.lists.sources import load_sources
from outrider_collector.settings import Settings
from outrider_wire.errors import ConfigError


def open_publisher(settings: Settings, engine: Engine) -> Publisher:
    """The publisher, not started yet. Raises ConfigError where key or sources do not hold."""
    file = Path(settings.lists) if settings.lists else None
    if file is not None:
        load_sources(file)
    if settings.lists_refresh_s <= 0:
        raise ConfigError("lists_refresh_s must be more than 0")
    given = Path(settings.lists_key_file) if settings.lists_key_file else None
    key = read_list_key(settings.lists_key) if settings.lists_key else load_list_key(settings.data, given)
    return Publisher(engine, key, file, refresh_s=settings.lists_refresh_s)


@contextlib.contextmanager
def publishing(publisher: Publisher) -> Iterator[None]:
    """Keep the lists up to date meanwhile. Raises ConfigError where the store cannot be asked."""
    try:
        publisher.start()
    except SQLAlchemyError as error:
        raise ConfigError(f"the threat lists in the store cannot be read: {error}") from error
    try:
        yield
    finally:
        publisher.close()
