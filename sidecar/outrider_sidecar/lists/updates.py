"""Updates: the thread that brings a newer list document, and takes none that is not what it should be.

The shipper hands over what the collector's answers say: its list key at enrolment, which document is in force with each
receipt. Everything else happens here, so that no finding waits for a list. What is refused is told of once, as sight
that is not had; what is in force stays.
"""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec.structs import replace

from outrider_sidecar.backoff import Backoff
from outrider_sidecar.lists.kept import KeptLists, Pin
from outrider_sidecar.log import say
from outrider_wire.enrolment import EnrolAnswer, Receipt
from outrider_wire.errors import DeliveryError, WireError
from outrider_wire.lists import MAX_TABLE_BYTES, ListDocument, ListsNotice, open_lists
from outrider_wire.listtable import ListTable

if TYPE_CHECKING:
    from outrider_sidecar.guard import Guard

SPREAD_BYTES_PER_S: Final = 1 << 20
MAX_SPREAD_S: Final = 60.0
"""A fleet hears of a new list within one interval: whoever is to fetch a long one waits a random while first."""
REFUSED_WAIT_S: Final = 600.0
"""A document that was refused is fetched again after so long."""
MAX_TOLD: Final = 64

Take = Callable[[ListTable], None]
Tell = Callable[[str], None]


def _drop(what: ListTable | str) -> None:
    del what


class ListTransport(Protocol):
    """The shape of a way to the collector, as far as lists go."""

    def fetch_lists(self, notice: ListsNotice) -> bytes:
        """The document that was announced. Raises WireError or DeliveryError."""

    def close(self) -> None:
        """Drop the connection."""


class ListUpdates:
    """Keeps the lists up to date. `pin` and `hear` are for the shipper's thread, `recall` comes before `start`.

    `take` is given each new table and `tell` each sentence to be told of, from either thread; `begin` sets them to what
    a guard does with them. `key` is the setting's.
    """

    def __init__(
        self,
        directory: Path,
        transport: ListTransport,
        *,
        take: Take = _drop,
        tell: Tell = _drop,
        key: bytes = b"",
        max_table_bytes: int = MAX_TABLE_BYTES,
        jitter: Callable[[], float] = random.random,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.version = self.entries = 0
        self.refused = 0
        self._kept, self._transport, self._take, self._tell = KeptLists(directory), transport, take, tell
        self._max_table_bytes, self._jitter, self._clock_s = max_table_bytes, jitter, clock_s
        kept = self._kept.load_pin()
        self._pin = kept if not key or (kept is not None and kept.key == key) else Pin(key)
        self._backoff = Backoff(jitter)
        self._notice: ListsNotice | None = None
        self._due_s = 0.0
        self._told: set[str] = set()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="outrider-lists", daemon=True)

    def begin(self, guard: "Guard") -> None:
        """Hand the guard what an earlier sidecar kept, and from now on what is new; before its engine runs."""
        self._take, self._tell = guard.take_lists, guard.lists_refused
        self.recall()
        self._take = lambda table: guard.intake.put_first(partial(guard.take_lists, table))
        self.start()

    def status(self) -> dict[str, Any]:
        """How it stands, for health."""
        return {"lists_version": self.version, "lists_entries": self.entries, "lists_refused": self.refused}

    def recall(self) -> None:
        """Take what an earlier sidecar kept."""
        if self._pin is None:
            return
        document = self._kept.load(self._pin, max_table_bytes=self._max_table_bytes)
        if document is not None:
            self._pin = replace(self._pin, version=document.header.version)
            self._took(document)

    def start(self) -> None:
        """Begin to listen for news."""
        self._thread.start()

    def stop(self) -> None:
        """End; a fetch that is under way is not waited for."""
        self._stop.set()
        self._wake.set()

    def pin(self, answer: EnrolAnswer) -> None:
        """The collector's list key, as it said at enrolment. The first one counts."""
        if not answer.list_key:
            return
        if self._pin is None:
            self._pin = Pin(answer.list_key)
            self._save_pin(self._pin)
        elif self._pin.key != answer.list_key:
            self._refuse(
                f"key {answer.list_key.hex()}",
                "the collector shows another list key than the one that is pinned; lists of that key are not taken",
            )

    def hear(self, receipt: Receipt) -> None:
        """Which document is in force, as a receipt says."""
        notice = receipt.lists
        known = self._notice
        if notice is None or notice.version <= self.version or (known is not None and notice.version <= known.version):
            return
        if self._pin is None:
            self._refuse("no key", "threat lists are announced, but no list key came with the enrolment")
            return
        self._notice = notice
        self._backoff.succeeded()
        spread_s = min(notice.size / SPREAD_BYTES_PER_S, MAX_SPREAD_S)
        self._due_s = self._clock_s() + (spread_s * self._jitter() if notice.size > SPREAD_BYTES_PER_S else 0.0)
        self._wake.set()

    def turn(self) -> None:
        """Fetch and take what was announced, if that is due."""
        notice, pin = self._notice, self._pin
        if notice is None or pin is None or self._clock_s() < self._due_s:
            return
        try:
            data = self._transport.fetch_lists(notice)
            document = self._check(data, notice, pin)
        except DeliveryError as error:
            self._due_s = self._clock_s() + self._backoff.failed(at_least_s=error.retry_after_s or 0.0)
            say(f"the threat lists could not be fetched: {error}", version=notice.version)
            return
        except WireError as error:
            self._due_s = self._clock_s() + REFUSED_WAIT_S
            self._refuse(f"{notice.digest} {error.code}", f"threat lists were refused: {error}")
            return
        self._keep(data, replace(pin, version=document.header.version))
        if self._notice == notice:
            self._notice = None
        self._took(document)

    def _check(self, data: bytes, notice: ListsNotice, pin: Pin) -> ListDocument:
        document = open_lists(data, pin.key, max_table_bytes=self._max_table_bytes)
        if document.digest != notice.digest:
            raise WireError("bad-digest", "the document is not the one that was announced")
        version = document.header.version
        if version != notice.version or version < pin.version or version <= self.version:
            raise WireError("old-version", f"version {version}; {notice.version} was announced, {pin.version} known")
        return document

    def _keep(self, data: bytes, pin: Pin) -> None:
        self._pin = pin
        try:
            self._kept.save(data, pin)
        except OSError as error:
            say("the threat lists could not be kept; they hold until the sidecar ends", reason=str(error))

    def _save_pin(self, pin: Pin) -> None:
        try:
            self._kept.save_pin(pin)
        except OSError as error:
            say("the list key could not be kept; it holds until the sidecar ends", reason=str(error))

    def _took(self, document: ListDocument) -> None:
        self.version, self.entries = document.header.version, len(document.table)
        say("threat lists are in force", version=self.version, entries=len(document.table))
        self._take(document.table)

    def _refuse(self, what: str, sentence: str) -> None:
        self.refused += 1
        if what not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(what)
            say(sentence)
            self._tell(sentence)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.turn()
            wait_s = self._due_s - self._clock_s() if self._notice is not None else None
            self._wake.wait(max(wait_s, 0.05) if wait_s is not None else None)
            self._wake.clear()
        self._transport.close()
