"""Spooling: the thread that brings checked batches to the disk, and answers their senders when they are there.

All that wait share one fsync. What is on disk goes on to whoever follows the spool, in its order.
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from outrider_collector.acceptor import Checked
from outrider_collector.spool import Frame, Spool
from outrider_wire.enrolment import Receipt
from outrider_wire.lists import ListsNotice

MAX_WAITING = 512
"""Most batches that wait for the disk."""

MAX_GROUP = 128
"""Most that share one fsync."""

Answer = Future[Receipt]

log = logging.getLogger("outrider.collector")


class Busy(Exception):
    """Too many wait; the sender should come back."""


class StoreUnavailable(Exception):
    """The disk or the database refuses; nothing was kept."""


@dataclass
class Waiting:
    """A batch on its way to the disk."""

    checked: Checked
    answer: Answer


class Spooling:
    """The thread and its queue. `kept` is called in it with what is on disk, `lost` with what could not be written.

    `lists` says which threat lists are in force: each answer announces them.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        kept: Callable[[list[Frame], list[Checked]], None],
        lost: Callable[[list[Checked]], None],
        stands: Callable[[Checked], bool],
        lists: Callable[[], ListsNotice | None] = lambda: None,
    ) -> None:
        self._spool, self._kept, self._lost, self._stands = spool, kept, lost, stands
        self._lists = lists
        self._waiting: queue.Queue[Waiting | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, then stop."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def put(self, checked: Checked, answer: Answer) -> None:
        """Hand a batch in; its answer is given once it is on disk. Raises Busy."""
        try:
            self._waiting.put_nowait(Waiting(checked, answer))
        except queue.Full:
            raise Busy from None

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            while len(group) < MAX_GROUP and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    self._waiting.put(None)
                    break
                group.append(more)
            self._write(group)

    def _write(self, group: list[Waiting]) -> None:
        new = [each.checked for each in group if each.checked.verdict == "new"]
        frames: list[Frame] = []
        try:
            frames = self._spool.append([(checked.received_at_ns, checked.data) for checked in new]) if new else []
        except OSError as error:
            log.error("the spool refuses: %s", error)
            self._lost(new)
            for each in group:
                settle(each.answer, StoreUnavailable("the spool refuses"))
            return
        if frames:
            self._kept(frames, new)
        for each in group:
            settle(each.answer, self._receipt(each.checked))

    def _receipt(self, checked: Checked) -> Receipt | Exception:
        """Whoever sent a copy of a batch that may not have been written must come back, too."""
        if not self._stands(checked):
            return StoreUnavailable("the spool refused a batch that this may be a copy of")
        return Receipt(checked.agent, checked.sequence, duplicate=checked.verdict == "duplicate", lists=self._lists())


def settle(answer: "Future[Receipt]", outcome: Receipt | Exception) -> None:
    """Answer a sender who may have gone meanwhile."""
    if not answer.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
