"""The intake: all that comes in. Batches are checked, spooled and answered; the store is written behind."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from msgspec.structs import replace
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.acceptor import Acceptor, Checked
from outrider_collector.chain import fork_finding, gap_finding, judge_copy
from outrider_collector.enrol import Admission
from outrider_collector.enrolling import admission_of, adopt, enrol
from outrider_collector.indexer import Indexer
from outrider_collector.keyring import KeyRing, NotAtHand
from outrider_collector.limits import Limiter
from outrider_collector.lists.publishing import Publisher
from outrider_collector.register import register
from outrider_collector.silence import silence_finding
from outrider_collector.spool import Place, Spool
from outrider_collector.spooling import Answer, Busy, Spooling, StoreUnavailable
from outrider_collector.store.agents import Agent, load_agent, lock_unheard, save_agents
from outrider_collector.store.batches import load_batch
from outrider_collector.store.collectors import (
    forget_collector,
    forget_collectors,
    heard_by_all,
    load_heard,
    note_heard,
)
from outrider_collector.store.database import writing
from outrider_collector.store.findings import save_findings
from outrider_collector.store.gaps import forget_gap, load_gaps, still_missing
from outrider_wire.batch import MAX_BATCH_BYTES
from outrider_wire.enrolment import EnrolAnswer, EnrolRequest
from outrider_wire.errors import WireError
from outrider_wire.findings import Finding
from outrider_wire.signing import agent_id

__all__ = ["Busy", "Intake", "StoreUnavailable"]

log = logging.getLogger("outrider.collector")


class Intake:
    """The way in, for any thread. `start`, then requests until `close`."""

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        *,
        collector: str = "collector",
        max_batch_bytes: int = MAX_BATCH_BYTES,
        agent_bytes_per_s: int = 0,
        agent_burst_bytes: int = 0,
        silence_intervals: float = 3.0,
        gap_grace_s: float = 0.0,
        absence_s: float = 60.0,
        lists: Publisher | None = None,
        spool_bytes: int = 4 << 30,
        followers: Callable[[], list[Place]] = list,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._engine, self._spool, self._clock_ns = engine, spool, clock_ns
        self._intervals, self._grace_ns = silence_intervals, int(gap_grace_s * 1e9)
        self._collector, self._absence_ns, self._heard_until_ns = collector, int(absence_s * 1e9), 0
        self.keys = KeyRing(engine)
        limiter = Limiter(agent_bytes_per_s, agent_burst_bytes)
        self._acceptor = Acceptor(self.keys, limiter, max_bytes=max_batch_bytes, clock_ns=clock_ns)
        self.indexer = Indexer(
            engine, spool, self.keys, collector=collector, keep_bytes=spool_bytes, followers=followers
        )
        self._list_key = lists.public_key if lists is not None else b""
        self._spooling = Spooling(
            spool,
            kept=self.indexer.take,
            lost=self._acceptor.forget,
            stands=self._acceptor.stands,
            lists=lists.notice if lists is not None else lambda: None,
        )
        self._started_at_ns = clock_ns()
        self._submitting = threading.Lock()

    def start(self) -> None:
        """Begin. Raises StoreUnavailable."""
        self.indexer.start()
        self._spooling.start()

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._spooling.close()
        self.indexer.close()
        self._sign_off()
        self._spool.close()
        self._engine.dispose()

    def submit(self, data: bytes) -> Answer:
        """The same as `submit_known`; the store is asked and waited for where the agent is new here.

        Raises what that raises, WireError `unknown-agent`, and SQLAlchemyError: its agent could not be looked up.
        """
        try:
            return self.submit_known(data)
        except NotAtHand as missing:
            self.keys.meet(missing.agent)
        return self.submit_known(data)

    def submit_known(self, data: bytes) -> Answer:
        """Hand in a batch. Its future raises StoreUnavailable where the disk refuses.

        Raises:
            WireError: it is refused. Busy: too many wait. Limited: its agent sends too much.
            NotAtHand: its agent must be asked for first, by `keys.meet`.
        """
        answer: Answer = Future()
        with self._submitting:
            checked = self._acceptor.check(data)
            if checked.verdict == "fork":
                self._tell_fork(checked)
                raise WireError("fork", f"batch {checked.sequence} is known with other contents")
            if checked.doubtful:
                self._tell_replay(checked)
            try:
                self._spooling.put(checked, answer)
            except Busy:
                if checked.verdict == "new":
                    self._acceptor.forget([checked])
                raise
        return answer

    def enrol(self, request: EnrolRequest, admission: Admission | None = None) -> "Future[EnrolAnswer]":
        """Hand in an enrolment whose signatures hold and that proved `admission`. Its future raises WireError.

        Raises Busy.
        """
        proved = admission or admission_of(request)
        return self.indexer.call(lambda connection: self._enrol(connection, request, proved))

    def adopt(self, agent: str) -> "Future[bool]":
        """Make a contested or quarantined key its subject's live one; False for an unknown one. Raises Busy."""

        def change(connection: Connection) -> bool:
            changed = adopt(connection, agent, self._clock_ns())
            self.keys.learn(changed or [])
            return changed is not None

        return self.indexer.call(change)

    def look_for_silence(self) -> "Future[int]":
        """Tell of agents that fell silent; the future's result is how many. Raises Busy."""
        return self.indexer.call(self._look_for_silence)

    def _tell_fork(self, checked: Checked) -> None:
        """Told by the indexer's hand, once: its id follows from what was refused."""

        def tell(connection: Connection) -> None:
            agent = load_agent(connection, checked.agent)
            there = load_batch(connection, checked.agent, checked.sequence)
            if agent is not None:
                found = fork_finding(agent, checked.batch, there, checked.received_at_ns)
                save_findings(connection, checked.received_at_ns, [found], collector=self._collector)

        self._try(tell)

    def _tell_replay(self, checked: Checked) -> None:
        """If it is one: what the store knows of the batches after it decides."""

        def tell(connection: Connection) -> None:
            agent = load_agent(connection, checked.agent)
            there = load_batch(connection, checked.agent, checked.sequence)
            if agent is not None and there is not None:
                look = partial(load_batch, connection, checked.agent)
                found = judge_copy(agent, checked.batch, there, look, checked.received_at_ns)
                save_findings(connection, checked.received_at_ns, found, collector=self._collector)

        self._try(tell)

    def _try(self, tell: Callable[[Connection], None]) -> None:
        with contextlib.suppress(Busy):  # whoever sends such batches will send more
            self.indexer.call(tell)

    def _enrol(self, connection: Connection, request: EnrolRequest, admission: Admission) -> EnrolAnswer:
        now_ns = self._clock_ns()
        outcome = enrol(connection, request, admission, now_ns, collector=self._collector)
        if outcome.accepted and outcome.changed:
            register(self._spool.directory, request, now_ns)
        self.keys.learn(outcome.changed)
        return EnrolAnswer(agent_id(request.public_key), outcome.accepted, outcome.reason, now_ns, self._list_key)

    def _look_for_silence(self, connection: Connection) -> int:
        now_ns = self._clock_ns()
        self.keys.refresh(connection)
        heard_ns = self._heard_by_all(connection, now_ns)
        unheard = [agent for agent in lock_unheard(connection, heard_ns, self._intervals) if self._would_hear(agent)]
        save_agents(connection, [replace(agent, told_silent=True) for agent in unheard])
        told = [silence_finding(agent, now_ns) for agent in unheard]
        found = [*self._take_gaps(connection, heard_ns, now_ns), *told]
        save_findings(connection, now_ns, found, collector=self._collector)
        return len(unheard)

    def _would_hear(self, agent: Agent) -> bool:
        """Our own absence is no silence of theirs."""
        return self._clock_ns() - self._started_at_ns >= agent.interval_s * self._intervals * 1e9

    def _heard_by_all(self, connection: Connection, now_ns: int) -> int:
        """Until when the store has what agents said, to whichever collector: of what is later nothing is missing yet.

        A collector that is dead may come back with batches on its disk: it is waited for, for a while.
        """
        if self.indexer.caught_up:
            self._heard_until_ns = now_ns
        mine_ns = self._heard_until_ns or load_heard(connection, self._collector)
        note_heard(connection, self._collector, alive_at_ns=now_ns, heard_until_ns=mine_ns)
        forget_collectors(connection, now_ns - self._absence_ns)
        return min(heard_by_all(connection, now_ns - self._absence_ns), now_ns)

    def _sign_off(self) -> None:
        """Nobody need wait for us, if all that we took is in the store."""
        if not self.indexer.caught_up:
            return
        try:
            with writing(self._engine) as connection:
                forget_collector(connection, self._collector)
        except SQLAlchemyError as error:
            log.warning("the store refuses, and the other collectors will wait for this one: %s", error)

    def _take_gaps(self, connection: Connection, heard_ns: int, now_ns: int) -> list[Finding]:
        """Gaps that nobody closed within the grace are to be told."""
        found: list[Finding] = []
        for gap in load_gaps(connection, heard_ns - self._grace_ns):
            agent = load_agent(connection, gap.agent)
            missing = still_missing(connection, gap) if agent is not None else []
            if agent is not None:
                found += [gap_finding(agent, *each, now_ns) for each in missing]
            forget_gap(connection, gap)
        return found
