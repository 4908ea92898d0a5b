"""What a connection leaves behind: nothing, and at once, since Python looks for what is left only rarely."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from outrider_collector.api.connections import BoundedHttp, bounded_http
from outrider_collector.heap import look_rarely

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Whatever goes, goes because nobody holds it."""
    gc.disable()
    yield
    gc.enable()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """The least of an application."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def open_and_close() -> "weakref.ref[BoundedHttp]":
    """One connection with two requests, to its end; what is left of it."""
    config = uvicorn.Config(answer, port=0, http=bounded_http(5.0), lifespan="off", log_level="error", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    for _ in range(2):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
    (protocol,) = server.server_state.connections
    left = weakref.ref(protocol)
    del protocol
    writer.close()
    await writer.wait_closed()
    deadline_s = asyncio.get_running_loop().time() + 5.0
    while left() is not None and asyncio.get_running_loop().time() < deadline_s:
        await asyncio.sleep(0.01)
    server.should_exit = True
    await serving
    return left


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_connection_goes_when_it_is_closed(no_collection: None, loop: str) -> None:
    """Without a look through the heap."""
    del no_collection
    run = uvloop.run if loop == "uvloop" else asyncio.run
    assert run(open_and_close())() is None


def test_what_stays_is_not_looked_through_again() -> None:
    """What is there at the start is set apart; what comes later is still looked through, in larger groups."""
    before = gc.get_threshold()
    try:
        look_rarely()
        assert gc.get_freeze_count() > 1000
        assert all(now >= was for now, was in zip(gc.get_threshold(), before, strict=True))
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
