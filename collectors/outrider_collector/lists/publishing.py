"""Publishing: the document that is in force, made anew when the lists change, and shared through the store.

Every collector compiles by itself. Who finds that what is in force says the same leaves it; else it signs the next
version and keeps it in the store, where the others find it within seconds. Versions are times: a store that was set
back goes on above what sidecars have.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.lists.by_hand import PLACE, add_by_hand, carry_over, has_by_hand
from outrider_collector.lists.compiling import compile_lists
from outrider_collector.lists.gathering import Gatherer, SourceState
from outrider_collector.lists.sources import Source, load_sources
from outrider_collector.store.database import writing
from outrider_collector.store.list_entries import entries_mark, load_entries
from outrider_collector.store.threat_lists import (
    ListRow,
    load_document,
    load_newest,
    newest_version,
    save_document,
)
from outrider_wire.errors import ConfigError, WireError
from outrider_wire.lists import ListDocument, ListsNotice, open_lists, seal_lists
from outrider_wire.listtable import TableShape, is_full
from outrider_wire.signing import SigningKey

LOOK_EVERY_S: Final = 2.0
"""How often the store and the sources' own file are looked at for news."""

log = logging.getLogger("outrider.collector")


class ListsState(Struct, frozen=True, kw_only=True):
    """What is in force and how its sources stand. `left_out` counts what had no room; `error` is the last fault."""

    version: int = 0
    digest: str = ""
    size: int = 0
    shape: TableShape = TableShape()
    sources: list[SourceState] = []
    left_out: dict[str, int] = {}
    error: str = ""
    public_key: bytes = b""


class Publisher:
    """Makes and hands out list documents. `notice`, `document` and `state` are safe from any thread.

    `file` names the sources (see `sources`); with None, what others put into the store is still announced, with what
    is listed by hand.
    """

    def __init__(
        self,
        engine: Engine,
        key: SigningKey,
        file: Path | None,
        *,
        refresh_s: float = 300.0,
        gatherer: Gatherer | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._engine, self._key, self._file = engine, key, file
        self._refresh_s, self._clock_ns = refresh_s, clock_ns
        self._gatherer = gatherer if gatherer is not None else Gatherer()
        self._notice: ListsNotice | None = None
        self._current: tuple[str, bytes] = ("", b"")
        self._state = ListsState(public_key=key.public)
        self._file_mark: tuple[int, int, int] | None = None
        self._mark: tuple[int, int] | None = None
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="lists", daemon=True)

    @property
    def public_key(self) -> bytes:
        """What documents are verified with."""
        return self._key.public

    @property
    def state(self) -> ListsState:
        """How it stands."""
        return self._state

    def notice(self) -> ListsNotice | None:
        """What a receipt is to announce."""
        return self._notice

    def start(self) -> None:
        """Announce what the store has, then keep it up to date."""
        self.take_over()
        self._thread.start()

    def close(self) -> None:
        """Stop. A fetch that is under way is not waited for long."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def document(self, digest: str) -> bytes | None:
        """A document by its name. Raises SQLAlchemyError."""
        name, data = self._current
        if digest == name:
            return data
        with self._engine.connect() as connection:
            return load_document(connection, digest)

    def refresh(self, *, anew: bool = True) -> ListsState:
        """Put together what sources and people list, and publish where that changes anything. Raises SQLAlchemyError.

        Without `anew`, sources are as they were read last.
        """
        with self._engine.connect() as connection:
            mark, by_hand = entries_mark(connection), load_entries(connection)
        before = self._in_force()
        table = before.table if before is not None else None
        sources, error = self._sources()
        if sources is not None:
            listed, states = self._gatherer.gather(sources, table, anew=anew)
        elif by_hand or has_by_hand(table):
            listed, states = carry_over(table), [each for each in self._state.sources if each.place != PLACE]
        else:
            self._mark = mark
            return self._tell(error=error) if error else self._state
        states = [*states, *add_by_hand(listed, by_hand, self._clock_ns() / 1e9)]
        try:
            compiled = compile_lists(listed)
            upon = None if sources is not None else before.header.version if before is not None else 0
            if not self._publish(compiled.table, compiled.shape, upon=upon):
                return self._tell(sources=states)
        except ValueError as refused:
            return self._tell(sources=states, error=str(refused))
        self._mark = mark
        return self._tell(sources=states, left_out=dict(compiled.left_out), error=error)

    def take_over(self) -> None:
        """Announce the newest document of the store, whoever put it there. Raises SQLAlchemyError."""
        with self._engine.connect() as connection:
            if self._notice is not None and newest_version(connection) <= self._notice.version:
                return
            row = load_newest(connection)
        if row is None:
            return
        try:
            document = open_lists(row.document, self._key.public)
        except WireError as error:
            self._tell(error=f"the lists in the store are not of this list key, or damaged: {error}")
            return
        self._announce(row, document.header.shape)

    def _sources(self) -> tuple[list[Source] | None, str]:
        """What the file names, None where there is none or it is broken; and what is wrong with it."""
        if self._file is None:
            return None, ""
        try:
            return load_sources(self._file), ""
        except ConfigError as error:
            return None, str(error)

    def _publish(self, table: bytes, shape: TableShape, *, upon: int | None) -> bool:
        """Put it in force; False where another version than `upon`, which it was made from, is."""
        contents = hashlib.sha256(msgspec.msgpack.encode(shape) + table).hexdigest()
        with writing(self._engine) as connection:
            newest = load_newest(connection)
            if upon is not None and upon != (newest.version if newest is not None else 0):
                return False
            if newest is None and not is_full(shape):
                return True
            if newest is not None and newest.contents == contents and self._is_ours(newest):
                row = newest
            else:
                version = max(self._clock_ns(), newest.version + 1 if newest is not None else 1)
                document, notice = seal_lists(self._key, table, shape, version=version)
                row = ListRow(version, notice.digest, contents, document)
                save_document(connection, row)
                log.info("threat lists: version %d, %d bytes", version, notice.size)
        self._announce(row, shape)
        return True

    def _announce(self, row: ListRow, shape: TableShape) -> None:
        self._current = (row.digest, row.document)
        self._notice = ListsNotice(row.version, row.digest, len(row.document))
        self._tell(version=row.version, digest=row.digest, size=len(row.document), shape=shape)

    def _in_force(self) -> ListDocument | None:
        _, data = self._current
        try:
            return open_lists(data, self._key.public) if data else None
        except WireError:
            return None

    def _is_ours(self, row: ListRow) -> bool:
        try:
            open_lists(row.document, self._key.public)
        except WireError:
            return False
        return True

    def _tell(self, **changes: object) -> ListsState:
        error = changes.get("error")
        if error and error != self._state.error:
            log.error("threat lists: %s", error)
        self._state = msgspec.structs.replace(self._state, **changes)
        return self._state

    def _run(self) -> None:
        refresh_at_s = 0.0
        while not self._stop.is_set():
            try:
                self.take_over()
                due = self._file_changed() or time.monotonic() >= refresh_at_s
                if due:
                    refresh_at_s = time.monotonic() + self._refresh_s
                if due or self._hand_changed():
                    self.refresh(anew=due)
            except SQLAlchemyError as error:
                self._tell(error=f"the store: {error}"[:300])
            self._wake.wait(LOOK_EVERY_S)

    def _hand_changed(self) -> bool:
        """Whether anything was listed by hand, or taken off, since that was last put in force."""
        with self._engine.connect() as connection:
            return entries_mark(connection) != self._mark

    def _file_changed(self) -> bool:
        """Whether the sources' file is another than when this was last asked."""
        if self._file is None:
            return False
        try:
            status = self._file.stat()
            mark = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError:
            mark = (0, 0, 0)
        changed, self._file_mark = mark != self._file_mark, mark
        return changed
