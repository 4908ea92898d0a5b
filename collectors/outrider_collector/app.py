"""The composition root: the one place where the collector's parts are put together."""

import contextlib
import resource
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from sqlalchemy import Engine

from outrider_collector.api.application import Application
from outrider_collector.api.connections import bounded_http
from outrider_collector.api.counters import Counters
from outrider_collector.api.operation import Parts
from outrider_collector.export.metrics import metrics_of
from outrider_collector.export.operations import OPERATIONS as EXPORT_OPERATIONS
from outrider_collector.export.starting import open_exports
from outrider_collector.heap import look_rarely
from outrider_collector.intake import Busy, Intake, StoreUnavailable
from outrider_collector.lake.starting import kept_in_lake, start_lake
from outrider_collector.lists.operations import lists_operations
from outrider_collector.lists.starting import open_publisher, publishing
from outrider_collector.pruning import ages_of, start_pruning
from outrider_collector.settings import Settings
from outrider_collector.spool import Spool
from outrider_collector.store.database import open_database
from outrider_wire.errors import ConfigError

BACKLOG = 4096

SPARE_DESCRIPTORS = 512
"""Descriptors for what is no connection of an agent or a reader."""

SWITCH_S = 0.0005
"""How long a thread that indexes may keep the interpreter while the one that answers waits for it: a signature's check
gives it up, and Python's own 5 ms would then be what each answer takes."""

Ready = Callable[[str], None]
"""Called once with the collector's URL when it takes requests."""


def serve(settings: Settings, *, ready: Ready | None = None) -> None:
    """Run the collector until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address, the data directory or the TLS files cannot be used.
    """
    sys.setswitchinterval(SWITCH_S)
    with running(settings) as (app, stopping), _listen(settings) as listener:
        server = _server(app, settings)
        stopping.watch(server)
        if ready is not None:
            ready(url_of(listener, settings))
        look_rarely()
        with _outliving_signals():
            server.run(sockets=[listener])


class Stopping:
    """Whether the server was told to stop: streams end by themselves then."""

    def __init__(self) -> None:
        self._server: uvicorn.Server | None = None

    def watch(self, server: uvicorn.Server) -> None:
        """From now on this server is asked."""
        self._server = server

    def __call__(self) -> bool:
        return self._server is not None and self._server.should_exit


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[tuple[Application, Stopping]]:
    """The application over a running intake, and the look for silence beside it. Raises ConfigError."""
    try:
        engine = open_database(settings.database or settings.data / "outrider.sqlite")
        collector = collector_id(settings.data, settings.collector_id)
        spool = Spool(settings.data / "spool")
        publisher = open_publisher(settings, engine)
        intake = Intake(
            engine,
            spool,
            max_batch_bytes=settings.max_batch_bytes,
            agent_bytes_per_s=settings.agent_bytes_per_s,
            agent_burst_bytes=settings.agent_burst_bytes,
            gap_grace_s=settings.gap_grace_s,
            absence_s=settings.absence_s,
            collector=collector,
            silence_intervals=settings.silence_intervals,
            lists=publisher,
            spool_bytes=settings.spool_bytes,
            followers=lambda: [place for place in (kept_in_lake(settings),) if place is not None],
        )
        exports = open_exports(settings, engine, collector)  # they begin before anything more is indexed
        intake.start()
    except (OSError, StoreUnavailable) as error:
        raise ConfigError(f"the data directory {settings.data} cannot be used: {error}") from error
    stop = threading.Event()
    watch = threading.Thread(target=_watch_silence, args=(intake, settings.silence_check_s, stop), name="silence")
    watch.start()
    with start_lake(settings, collector), start_pruning(engine, ages_of(settings)), publishing(publisher), exports:
        try:
            stopping = Stopping()
            parts = _parts(settings, intake, spool, engine, collector, stopping)
            more = (*lists_operations(publisher), *EXPORT_OPERATIONS)
            yield Application(parts, more=more, sources=[metrics_of(exports.counters)]), stopping
        finally:
            stop.set()
            watch.join()
            intake.close()


def _parts(
    settings: Settings, intake: Intake, spool: Spool, engine: Engine, collector: str, stopping: Stopping
) -> Parts:
    return Parts(
        intake=intake,
        spool=spool,
        engine=engine,
        settings=settings,
        counters=Counters(),
        collector=collector,
        clock_ns=time.time_ns,
        stopping=stopping,
    )


def collector_id(data: Path, given: str) -> str:
    """The name of this collector in a store that several may share: as given, else made once and kept."""
    path = data / "collector-id"
    if given:
        return given
    if not path.exists():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(uuid.uuid4().hex)
    return path.read_text().strip()


def url_of(listener: socket.socket, settings: Settings) -> str:
    """Where a listening collector is reached."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.address
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        # IPPROTO_TCP said outright: asyncio sets TCP_NODELAY only then, and an answer without it waits 40 ms
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        raise ConfigError(f"cannot listen at {settings.listen}: {error}") from error


def _server(app: Application, settings: Settings) -> uvicorn.Server:
    _allow_descriptors(settings.max_connections + SPARE_DESCRIPTORS)
    config = uvicorn.Config(
        app,
        http=bounded_http(settings.body_timeout_s),
        ws="none",
        lifespan="off",
        loop="uvloop",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigError(f"the TLS files cannot be used: {error}") from error
    return uvicorn.Server(config)


def _allow_descriptors(wanted: int) -> None:
    """A connection is a descriptor: take as many as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextlib.contextmanager
def _outliving_signals() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more: let that not end us before the intake is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: FrameType | None) -> None:
    del number, frame


def _watch_silence(intake: Intake, every_s: float, stop: threading.Event) -> None:
    while not stop.wait(every_s):
        with contextlib.suppress(Busy, StoreUnavailable):
            intake.look_for_silence().result()
