"""The pump: one thread for each export, which follows the store's feed and hands findings to its target.

Everything it has to remember is in the store (`store/exports.py`): a position in the feed, and a row for each finding
that is to be sent again later or was given up. So it can die at any moment, or be taken over by another collector, and
what was not recorded as sent is sent again under the same id.

A target that takes nothing is down: the position stays, findings wait in the store, at no cost in memory, however long
it lasts, and none is given up. A finding is given up when its target refuses it for good, or when it failed `tries`
times while others got through. A finding that seems to bring its target down is found out by trying the one behind it:
where that gets through, the first is put aside and tried alone.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.export.choosing import Page, wants
from outrider_collector.export.configuration import Export
from outrider_collector.export.counters import Counters
from outrider_collector.export.lease import BEAT_S, LEASE_S, Lease
from outrider_collector.export.pauses import pause_s
from outrider_collector.export.target import SENT, Outcome, Target
from outrider_collector.store.database import writing
from outrider_collector.store.exports import (
    Item,
    advance,
    count_items,
    drop_items,
    drop_rested,
    happened_last,
    load_due,
    load_items,
    save_items,
)
from outrider_collector.store.feed import newest_change
from outrider_collector.store.stored import StoredFinding, read_changes
from outrider_wire.errors import DeliveryError

log = logging.getLogger("outrider.collector.export")

POLL_S: Final = 1.0
"""How soon a new finding is noticed."""
PROBE_AFTER: Final = 3
"""After so many failures in a row the finding behind the first is tried, too, in turn with it."""
MAX_SUSPECTS: Final = 16
"""Most findings that are remembered to have been tried in vain while a target is down; the latest."""
LATER_FIRST_S: Final = 2.0
LATER_LONGEST_S: Final = 300.0
MAX_FAILED: Final = 10_000
"""Most findings that failed and are to be tried again; past it the feed is not read on."""
PAGE: Final = 100
PROBED: Final = 1_000
"""Changes of the feed that are looked through at once; the latter to find one behind a finding that fails."""
SAY_EVERY_S: Final = 60.0
SECOND_NS: Final = 1_000_000_000


@dataclass
class _Work:
    """What is handed to the target at once, from a page of the feed or because it is due.

    `items` are what is remembered of the findings. `position` is where the feed is done with, where that is known
    beforehand; `passed` was left out to try the one behind it; `gone` is not to be sent any more.
    """

    found: list[StoredFinding]
    items: dict[str, Item] = field(default_factory=dict)
    page: Page | None = None
    position: int = 0
    passed: StoredFinding | None = None
    gone: set[str] = field(default_factory=set)


class Pump:
    """One export's. `step` is called by one thread. `wall` tells nanoseconds since the epoch."""

    def __init__(
        self,
        engine: Engine,
        export: Export,
        target: Target,
        *,
        holder: str,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = time.time_ns,
        jitter: Callable[[], float] = random.random,
        lease_s: float = LEASE_S,
    ) -> None:
        self._engine, self._export, self._target, self._holder = engine, export, target, holder
        self._clock, self._wall, self._jitter = clock, wall, jitter
        self._counters = counters
        self._lease = Lease(engine, export.name, holder, clock, lease_s=lease_s)
        self._position = 0
        self._size = target.max_items
        self._failures = 0
        self._failing_since_ns = 0
        self._error = ""
        self._not_before_s = 0.0
        self._suspects: dict[str, tuple[StoredFinding, Item | None, str]] = {}
        self._said_s = self._swept_s = -SAY_EVERY_S

    def step(self) -> float:
        """Do one piece of work; returns how long nothing more is to be done."""
        try:
            return self._step()
        except SQLAlchemyError as error:
            self._counters.store_errors += 1
            self._complain(f"the store cannot be used: {error}")
            return self._pause(0.0)

    def close(self) -> None:
        """Let another collector go on."""
        try:
            self._lease.release()
        except SQLAlchemyError:
            pass  # it will be taken over after a while
        self._target.close()

    def _step(self) -> float:
        if not self._hold():
            return POLL_S
        wait_s = self._not_before_s - self._clock()
        if wait_s > 0:
            return min(wait_s, BEAT_S)
        work = self._choose()
        if work is None:
            return POLL_S
        if work.found:
            return self._try(work)
        self._settle(work, [])
        return 0.0

    def _hold(self) -> bool:
        lease = self._lease
        if lease.held:
            held = lease.keep(error=self._error, failing_since_ns=self._failing_since_ns)
        else:
            row = lease.take()
            held = row is not None
            if row is not None:
                self._position, self._failures, self._size = row.position, 0, self._target.max_items
                self._suspects.clear()
        self._counters.holding = held
        return held

    def _choose(self) -> _Work | None:
        """What is due first, then the feed; while the target is down, the feed first."""
        now_ns = self._wall()
        self._sweep(now_ns)
        if not self._failures:
            return self._due(now_ns) or self._feed(now_ns)
        return self._feed(now_ns) or self._due(now_ns)

    def _due(self, now_ns: int) -> _Work | None:
        with self._engine.connect() as connection:
            due = load_due(connection, self._export.name, now_ns, limit=self._size)
        if not due:
            return None
        found = [found for _, found in due if found is not None and wants(self._export, found)]
        gone = {item.finding for item, _ in due} - {each.id for each in found}
        return _Work(found, {item.finding: item for item, _ in due}, gone=gone)

    def _feed(self, now_ns: int) -> _Work | None:
        page = self._read_page(now_ns)
        if page is None:
            return None
        if not page.send:
            return _Work([], page=page, position=page.rows[-1].change)
        if self._probes and len(page.send) > 1:
            head, second = page.send[:2]
            return _Work([second], page.items, page=page, position=second.change, passed=head)
        return _Work(page.send[: self._size], page.items, page=page)

    @property
    def _probes(self) -> bool:
        return self._failures >= PROBE_AFTER and self._failures % 2 == 1

    def _read_page(self, now_ns: int) -> Page | None:
        name = self._export.name
        with self._engine.connect() as connection:
            newest = newest_change(connection)
            self._counters.behind = max(newest - self._position, 0)
            if newest <= self._position or self._counters.failed > MAX_FAILED:
                return None
            rows = read_changes(connection, self._position, limit=PROBED if self._probes else PAGE)
            if not rows:
                return None
            items = load_items(connection, name, [row.id for row in rows])
            happened = happened_last(connection, [row.change for row in rows])
        return Page(self._export, rows, items, happened, now_ns)

    def _try(self, work: _Work) -> float:
        try:
            outcomes = self._target.send(work.found)
            if all(outcome.status == "later" for outcome in outcomes):
                raise DeliveryError(outcomes[0].reason)  # it takes nothing: that is the target's doing
        except DeliveryError as error:
            if not error.refused:
                return self._failed(work, error)
            if len(work.found) > 1:
                self._size = 1  # one of them is at fault
                return 0.0
            outcomes = [Outcome("refused", str(error))]
        self._settle(work, outcomes)
        return 0.0

    def _failed(self, work: _Work, error: DeliveryError) -> float:
        """The target is down, or one finding brings it down."""
        self._failures += 1
        self._counters.failures += 1
        self._failing_since_ns = self._failing_since_ns or self._wall()
        self._size = 1
        self._complain(f"nothing can be delivered: {error}")
        wait_s = self._pause(error.retry_after_s or 0.0)
        if len(work.found) == 1:
            found = work.found[0]
            item = work.items.get(found.id)
            self._suspects[found.id] = (found, item, str(error))
            if len(self._suspects) > MAX_SUSPECTS:
                del self._suspects[next(iter(self._suspects))]
            if item is not None:  # let another have its turn
                with writing(self._engine) as connection:
                    due_ns = self._wall() + int(wait_s * SECOND_NS)
                    save_items(connection, self._export.name, [Item(found.id, "waits", due_ns, item.tries, str(error))])
        return min(wait_s, BEAT_S)

    def _settle(self, work: _Work, outcomes: list[Outcome]) -> None:
        """Record what became of what was tried; then it is done with."""
        now_ns, name = self._wall(), self._export.name
        tried = work.found[: len(outcomes)]
        items = [self._after(each, work, outcome, now_ns) for each, outcome in zip(tried, outcomes, strict=True)]
        sent = sum(outcome.status == "sent" for outcome in outcomes)
        position = self._position
        if work.page is not None:
            position = work.position or self._end(work, tried)
            items += work.page.waits_up_to(position)
        if sent:
            items += self._found_out(work, now_ns)
        keep = {item.finding: item for item in items if item.status != "rests" or self._export.repeats_s}
        with writing(self._engine) as connection:
            if not advance(connection, name, self._holder, position=position, sent=sent, now_ns=now_ns):
                self._lease.held = False
                return  # another collector has taken over: it will send these again
            drop_items(connection, name, [*work.gone, *(each.id for each in tried if each.id not in keep)])
            self._counters.forgotten += save_items(connection, name, list(keep.values()))
            self._recount(connection)
        self._position = position
        self._count(outcomes, sent, now_ns)

    def _end(self, work: _Work, tried: list[StoredFinding]) -> int:
        """How far the feed is done with: up to before the first that was not tried, else to the end of the page."""
        assert work.page is not None
        rest = work.page.send[len(tried) :]
        return rest[0].change - 1 if rest else work.page.rows[-1].change

    def _found_out(self, work: _Work, now_ns: int) -> list[Item]:
        """Suspects, now that another got through; one from the feed is put aside only where it was passed by."""
        found = []
        for each, item, reason in self._suspects.values():
            was_passed = work.passed is not None and work.passed.id == each.id
            if each.id not in {one.id for one in work.found} and (item is not None or was_passed):
                found.append(self._later(each, item, reason, now_ns))
        if work.passed is not None and work.passed.id not in self._suspects:
            found.append(self._later(work.passed, None, self._error, now_ns))
        return found

    def _after(self, found: StoredFinding, work: _Work, outcome: Outcome, now_ns: int) -> Item:
        if outcome == SENT:
            return Item(found.id, "rests", now_ns + int(self._export.repeats_s * SECOND_NS))
        if outcome.status == "refused":
            return Item(found.id, "dead", now_ns, _tries(work.items.get(found.id)), outcome.reason)
        return self._later(found, work.items.get(found.id), outcome.reason, now_ns)

    def _later(self, found: StoredFinding, item: Item | None, reason: str, now_ns: int) -> Item:
        tries = _tries(item)
        if tries >= self._export.tries:
            return Item(found.id, "dead", now_ns, tries, reason)
        wait_s = min(LATER_FIRST_S * 2.0 ** (tries - 1), LATER_LONGEST_S) * (0.5 + self._jitter() / 2)
        return Item(found.id, "waits", now_ns + int(wait_s * SECOND_NS), tries, reason)

    def _count(self, outcomes: list[Outcome], sent: int, now_ns: int) -> None:
        counters = self._counters
        for outcome in outcomes:
            if outcome.status == "refused":
                counters.refused += 1
            elif outcome.status == "later":
                counters.retried += 1
            if outcome.status != "sent":
                self._complain(f"a finding was not taken: {outcome.reason}")
        if not outcomes:
            return
        counters.sent += sent
        counters.sent_at_ns = now_ns if sent else counters.sent_at_ns
        self._suspects.clear()
        self._failures, self._failing_since_ns, self._error, self._not_before_s = 0, 0, "", 0.0
        counters.failing = False
        self._size = min(self._size * 2, self._target.max_items)

    def _pause(self, asked_s: float) -> float:
        wait_s = pause_s(max(self._failures, 1), self._jitter, at_least_s=asked_s)
        self._not_before_s = self._clock() + wait_s
        return min(wait_s, BEAT_S)

    def _sweep(self, now_ns: int) -> None:
        """Now and then forget those that have rested."""
        if self._clock() - self._swept_s < SAY_EVERY_S:
            return
        self._swept_s = self._clock()
        with writing(self._engine) as connection:
            drop_rested(connection, self._export.name, now_ns)
            self._recount(connection)

    def _recount(self, connection: Connection) -> None:
        counters, name = self._counters, self._export.name
        counters.waiting = count_items(connection, name, "waits")
        counters.failed = count_items(connection, name, "waits", tried=True)
        counters.dead = count_items(connection, name, "dead")

    def _complain(self, sentence: str) -> None:
        self._error = sentence
        self._counters.error = sentence
        self._counters.failing = self._failures > 0
        now_s = self._clock()
        if now_s - self._said_s >= SAY_EVERY_S:
            self._said_s = now_s
            log.warning("export %s: %s", self._export.name, sentence)


def _tries(item: Item | None) -> int:
    return (item.tries if item and item.status != "dead" else 0) + 1
