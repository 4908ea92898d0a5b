"""The intake: the one thread that writes. Batches, enrolments and the look for silence pass through it in turn.

Batches that wait together share one fsync of the spool and one transaction of the index. A batch is answered
once it is in the spool; the index follows at once, and at the next start (or after the store's disk was full) from
the spool. The queue is bounded: who finds it full is told to come back.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from outrider_collector.enrol import judge_enrolment
from outrider_collector.group import Answer, Group
from outrider_collector.silence import silence_finding
from outrider_collector.spool import Place, Spool
from outrider_collector.store.agents import load_agent, load_task_agents, load_unheard, save_agents
from outrider_collector.store.batches import load_spool_position
from outrider_collector.store.findings import save_findings
from outrider_wire.batch import MAX_BATCH_BYTES
from outrider_wire.enrolment import EnrolAnswer, EnrolRequest
from outrider_wire.errors import WireError
from outrider_wire.signing import agent_id

MAX_WAITING = 256
"""Most requests that wait for the intake."""

MAX_GROUP = 64
"""Most batches that share one fsync."""

log = logging.getLogger("outrider.collector")


class Busy(Exception):
    """The intake's queue is full; the sender should come back."""


class StoreUnavailable(Exception):
    """The disk or the database refuses; nothing was kept."""


@dataclass
class _Job:
    answer: "Future[Any]"
    data: bytes = b""
    call: Callable[[Connection], Any] | None = None


class Intake:
    """The writer. `start` brings the index up to the spool, then takes requests until `close`."""

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        *,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        spool_bytes: int = 4 << 30,
        silence_intervals: float = 3.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._engine, self._spool, self._clock_ns = engine, spool, clock_ns
        self._max_bytes, self._spool_bytes, self._intervals = max_batch_bytes, spool_bytes, silence_intervals
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._started_at_ns = clock_ns()
        self._behind = True

    def start(self) -> None:
        """Begin. Raises StoreUnavailable when the index cannot be brought up to the spool."""
        self._catch_up()
        self._thread.start()

    def close(self) -> None:
        """Finish what waits, then stop."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        self._spool.close()
        self._engine.dispose()

    def submit(self, data: bytes) -> Answer:
        """Hand in a batch. Its future raises WireError or StoreUnavailable. Raises Busy."""
        return self._put(_Job(Future(), data=data))

    def enrol(self, request: EnrolRequest) -> "Future[EnrolAnswer]":
        """Hand in an enrolment whose token and signatures hold. Its future raises WireError. Raises Busy."""
        return self._put(_Job(Future(), call=lambda connection: self._enrol(connection, request)))

    def look_for_silence(self) -> "Future[int]":
        """Tell of agents that fell silent; the future's result is how many. Raises Busy."""
        return self._put(_Job(Future(), call=self._look_for_silence))

    def _put(self, job: _Job) -> "Future[Any]":
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise Busy from None
        return job.answer

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < MAX_GROUP and not self._jobs.empty():
                more = self._jobs.get()
                if more is None:
                    self._jobs.put(None)
                    break
                jobs.append(more)
            self._work(jobs)

    def _work(self, jobs: list[_Job]) -> None:
        batches: list[_Job] = []
        for job in jobs:
            if job.call is None:
                batches.append(job)
                continue
            self._take(batches)
            batches = []
            self._call(job)
        self._take(batches)

    def _call(self, job: _Job) -> None:
        assert job.call is not None
        try:
            with self._engine.begin() as connection:
                result = job.call(connection)
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(FULL)")  # syncs: keys outlive a power cut
        except WireError as error:
            _fail(job, error)
        except SQLAlchemyError as error:
            log.error("the store refuses: %s", error)
            _fail(job, StoreUnavailable("the store refuses"))
        else:
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_result(result)

    def _take(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            if self._behind:
                self._catch_up()
            with self._engine.connect() as connection:
                group = self._judge(connection, jobs)
        except (SQLAlchemyError, StoreUnavailable, OSError) as error:
            log.error("the store refuses: %s", error)
            for job in jobs:
                _fail(job, StoreUnavailable("the store refuses"))
            return
        self._commit(group)

    def _judge(self, connection: Connection, jobs: list[_Job]) -> Group:
        group, now_ns = Group(connection, self._max_bytes), self._clock_ns()
        for job in jobs:
            try:
                group.judge(job.data, now_ns, job.answer)
            except WireError as error:
                _fail(job, error)
        return group

    def _commit(self, group: Group) -> None:
        frames = []
        if group.entries:
            try:
                frames = self._spool.append([(entry.received_at_ns, entry.data) for entry in group.entries])
            except OSError as error:
                log.error("the spool refuses: %s", error)
                group.refuse(StoreUnavailable("the spool refuses"))
                return
        group.answer()
        try:
            with self._engine.begin() as connection:
                group.index(connection, frames)
                save_findings(connection, self._clock_ns(), group.told)
        except SQLAlchemyError as error:
            log.error("the index is behind the spool: %s", error)
            self._behind = True
            return
        if frames and frames[0].place.offset == 0:
            self._spool.forget(frames[0].place.file, self._spool_bytes)

    def _catch_up(self) -> None:
        """Index what the spool has beyond the index. Raises StoreUnavailable."""
        try:
            with self._engine.connect() as connection:
                start = Place(*load_spool_position(connection))
            for frame in self._spool.read_from(start):
                with self._engine.begin() as connection:
                    group = Group(connection, self._max_bytes)
                    try:
                        group.judge(frame.data, frame.received_at_ns)
                    except WireError as error:
                        log.warning("a spooled batch at %s is not indexed: %s", frame.place, error)
                    group.index(connection, [frame] if group.entries else [])
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailable(f"the spool cannot be indexed: {error}") from error
        self._behind = False

    def _enrol(self, connection: Connection, request: EnrolRequest) -> EnrolAnswer:
        agent, now_ns = agent_id(request.public_key), self._clock_ns()
        of_task = load_task_agents(connection, request.task.arn) if request.task else []
        outcome = judge_enrolment(request, now_ns, load_agent(connection, agent), of_task)
        save_agents(connection, outcome.changed)
        save_findings(connection, now_ns, outcome.findings)
        return EnrolAnswer(agent, outcome.accepted, outcome.reason, now_ns)

    def _look_for_silence(self, connection: Connection) -> int:
        now_ns = self._clock_ns()
        unheard = [
            agent
            for agent in load_unheard(connection, now_ns, self._intervals)
            # our own absence is no silence of theirs
            if now_ns - self._started_at_ns >= agent.interval_s * self._intervals * 1e9
        ]
        save_agents(connection, [replace(agent, told_silent=True) for agent in unheard])
        save_findings(connection, now_ns, [silence_finding(agent, now_ns) for agent in unheard])
        return len(unheard)


def _fail(job: _Job, error: Exception) -> None:
    if job.answer.set_running_or_notify_cancel():
        job.answer.set_exception(error)
