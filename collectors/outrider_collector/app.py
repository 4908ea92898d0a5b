"""The composition root: the one place where the collector's parts are put together."""

import contextlib
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from outrider_collector.intake import Busy, Intake, StoreUnavailable
from outrider_collector.routes import make_app
from outrider_collector.settings import Settings
from outrider_collector.spool import Spool
from outrider_collector.store.database import open_database
from outrider_wire.errors import ConfigError

BACKLOG = 1024

Ready = Callable[[str], None]
"""Called once with the collector's URL when it takes requests."""


def serve(settings: Settings, *, ready: Ready | None = None) -> None:
    """Run the collector until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address, the data directory or the TLS files cannot be used.
    """
    with running(settings) as app, _listen(settings) as listener:
        server = _server(app, settings)
        if ready is not None:
            ready(url_of(listener, settings))
        with _outliving_signals():
            server.run(sockets=[listener])


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Starlette]:
    """The application over a running intake, and the look for silence beside it. Raises ConfigError."""
    try:
        engine = open_database(settings.data / "outrider.sqlite")
        intake = Intake(
            engine,
            Spool(settings.data / "spool"),
            max_batch_bytes=settings.max_batch_bytes,
            agent_bytes_per_s=settings.agent_bytes_per_s,
            agent_burst_bytes=settings.agent_burst_bytes,
            gap_grace_s=settings.gap_grace_s,
            collector=collector_id(settings.data, settings.collector_id),
            silence_intervals=settings.silence_intervals,
        )
        intake.start()
    except (OSError, StoreUnavailable) as error:
        raise ConfigError(f"the data directory {settings.data} cannot be used: {error}") from error
    stop = threading.Event()
    watch = threading.Thread(target=_watch_silence, args=(intake, settings.silence_check_s, stop), name="silence")
    watch.start()
    try:
        yield make_app(intake, engine, settings)
    finally:
        stop.set()
        watch.join()
        intake.close()


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


def _server(app: Starlette, settings: Settings) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=16 << 10,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
    )
    try:
        config.load()
    except OSError as error:
        raise ConfigError(f"the TLS files cannot be used: {error}") from error
    return uvicorn.Server(config)


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
