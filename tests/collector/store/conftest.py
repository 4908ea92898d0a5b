"""An open store of either kind."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from outrider_collector.store.database import open_database


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A new store."""
    made = open_database(database_url)
    yield made
    made.dispose()
