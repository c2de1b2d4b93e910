"""Clients that are slow on purpose, over real connections: none holds one for ever, and who is in time is served."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.connections import BoundedProtocol, protocol_of
from api.metrics import CONNECTIONS_CUT
from schemas.settings import Settings
from topologies.product import Server, api_server

pytestmark = pytest.mark.timeout(30)
KEY = "key-of-acme"
LARGE = b"x" * (32 << 20)
PIECE_BYTES = 1 << 20


class Door:
    """A server on loopback with small limits, and what its clients do."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.address = server.servers[0].sockets[0].getsockname()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Give a connection."""
        reader, writer = await asyncio.open_connection(*self.address)
        yield Client(reader, writer)
        writer.close()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not is_so():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def drip(self, what: bytes = b"x") -> bytes:
        """Send a little again and again until the server ends the connection; return what it answered."""
        read = asyncio.create_task(self.rest())
        while not read.done():
            with suppress(OSError):
                self.writer.write(what)
                await self.writer.drain()
            await asyncio.sleep(0.005)
        return await read

    async def rest(self) -> bytes:
        """Return what comes until the server ends the connection."""
        got = b""
        with suppress(ConnectionError):
            while more := await self.reader.read(65_536):
                got += more
        return got

    async def ask(self, path: str = "/") -> bytes:
        """Return the status line of an answer whose headers were read."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        return (await self.reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]


class Application:
    """Answers at once, with nothing; ``/slow`` once it may, ``/large`` with a lot, ``/stream`` piece by piece."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Serve a request (ASGI)."""
        if scope["path"] == "/slow":
            await self.may_answer.wait()
        body = LARGE if scope["path"] in ("/large", "/stream") else b""
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while scope["path"] == "/stream" and body:
            await send({"type": "http.response.body", "body": body[:PIECE_BYTES], "more_body": True})
            body = body[PIECE_BYTES:]
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(application: Any, tmp_path: Path, **settings: Any) -> AsyncIterator[Door]:
    """Serve an application on loopback with these settings."""
    limits = Settings(data_dir=tmp_path, api_keys=SecretStr(f"{KEY}:acme"), **settings)
    app = create_app(limits) if application is None else application
    http: Any = protocol_of(limits)
    server = Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, access_log=False, http=http))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    yield Door(server)
    server.should_exit = True
    await running


def cut(reason: str) -> float:
    """Return how many connections were cut for a reason so far."""
    return float(CONNECTIONS_CUT.labels(reason)._value.get())


def test_the_product_serves_its_api_with_these_limits(tmp_path: Path) -> None:
    """As the settings say."""
    options = api_server(Settings(data_dir=tmp_path, api_max_connections=7, api_headers_timeout_s=3)).config
    protocol: Any = options.http
    assert protocol.keywords == {"headers_timeout_s": 3, "answer_timeout_s": 30, "max_connections": 7}
    assert options.ws == "none", "a connection that is something else by now would be free of them"


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX-Long: "])
async def test_headers_that_come_a_byte_at_a_time_are_cut_off(tmp_path: Path, begun: bytes) -> None:
    """Also when nothing comes; nothing is answered."""
    before = cut("slow_headers")
    async with serving(Application(), tmp_path, api_headers_timeout_s=0.2) as door, door.connected() as client:
        client.writer.write(begun)
        assert await (client.drip() if begun else client.rest()) == b""
    assert cut("slow_headers") == before + 1


async def test_a_further_request_has_no_more_time_than_the_first(tmp_path: Path) -> None:
    """It begins with its first byte."""
    async with serving(Application(), tmp_path, api_headers_timeout_s=0.2) as door, door.connected() as client:
        for _ in range(3):
            assert await client.ask() == b"HTTP/1.1 200 OK"
        client.writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
        assert await client.drip() == b""


async def test_an_answer_may_take_longer_than_headers(tmp_path: Path) -> None:
    """Another connection tells that their time is over."""
    application = Application()
    async with serving(application, tmp_path, api_headers_timeout_s=0.2) as door, door.connected() as client:
        asked = asyncio.create_task(client.ask("/slow"))
        await door.until(lambda: bool(door.server.server_state.tasks))
        async with door.connected() as idle:
            assert await idle.rest() == b""
        application.may_answer.set()
        assert await asked == b"HTTP/1.1 200 OK"


async def test_a_slow_body_is_answered_and_closed(tmp_path: Path) -> None:
    """408, in the encoding of its request; exporters may send it again."""
    async with serving(None, tmp_path, api_body_timeout_s=0.2) as door, door.connected() as client:
        head = f"POST /v1/traces HTTP/1.1\r\nHost: here\r\nX-API-Key: {KEY}\r\nContent-Length: 100000\r\n\r\n"
        client.writer.write(head.encode())
        answer = await client.drip()
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert b"within 0.2 s" in answer


async def test_a_body_that_nobody_wants_to_read_holds_no_connection(tmp_path: Path) -> None:
    """Its request is refused at once, for its key; what comes after that is not waited for long."""
    async with serving(None, tmp_path, api_headers_timeout_s=0.2) as door, door.connected() as client:
        client.writer.write(b"POST /v1/traces HTTP/1.1\r\nHost: here\r\nContent-Length: 100000\r\n\r\n")
        answer = await client.drip()
    assert answer.startswith(b"HTTP/1.1 401 "), answer


async def test_who_comes_when_all_are_served_is_turned_away_until_somebody_goes(tmp_path: Path) -> None:
    """With a status that says so; who is here is not disturbed."""
    before, application = cut("too_many"), Application()
    async with serving(application, tmp_path, api_max_connections=1) as door:
        async with door.connected() as first:
            asked = asyncio.create_task(first.ask("/slow"))
            await door.until(lambda: any(one.cycle for one in door.server.server_state.connections))
            async with door.connected() as second:
                assert (await second.rest()).startswith(b"HTTP/1.1 503 ")
            application.may_answer.set()
            assert await asked == b"HTTP/1.1 200 OK"
        async with door.connected() as third:
            assert await third.ask() == b"HTTP/1.1 200 OK"
    assert cut("too_many") == before + 1


async def test_who_asks_is_served_however_many_hold_connections_open(tmp_path: Path) -> None:
    """With headers that never end: those who have been here without a request for longest make way."""
    before = cut("made_way")
    async with serving(Application(), tmp_path, api_max_connections=4) as door, AsyncExitStack() as open_ones:
        slow = [await open_ones.enter_async_context(door.connected()) for _ in range(4)]
        for client in slow:
            client.writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
        await door.until(lambda: len(door.server.server_state.connections) == 4)
        for _ in range(8):
            async with door.connected() as client:
                assert await client.ask() == b"HTTP/1.1 200 OK"
            await door.until(lambda: len(door.server.server_state.connections) < 4)
            slow.append(await open_ones.enter_async_context(door.connected()))
            slow[-1].writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
            await door.until(lambda: len(door.server.server_state.connections) == 4)
        assert await slow[0].rest() == b""
    assert cut("made_way") >= before + 8


@pytest.mark.parametrize("path", [b"/large", b"/stream"])
async def test_an_answer_that_is_not_taken_is_given_up(tmp_path: Path, path: bytes) -> None:
    """A connection that is only to be closed when all has left would never be."""
    before = cut("answer_not_taken")
    async with serving(Application(), tmp_path, api_body_timeout_s=0.2) as door:
        with socket.create_connection(door.address) as client:
            client.sendall(b"GET %s HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" % path)
            await door.until(lambda: bool(door.server.server_state.connections))
            await door.until(lambda: not door.server.server_state.connections)
    assert cut("answer_not_taken") == before + 1


@pytest.mark.parametrize("path", ["/large", "/stream"])
async def test_a_large_answer_that_is_taken_is_whole(tmp_path: Path, path: str) -> None:
    """However often writing is held back meanwhile; after that nothing is waited for."""
    async with serving(Application(), tmp_path) as door, door.connected() as client:
        assert await client.ask(path) == b"HTTP/1.1 200 OK"
        [connection] = door.server.server_state.connections
        assert isinstance(connection, BoundedProtocol)
        assert connection.transport.get_write_buffer_limits() == (0, 0), "however little is not taken, it has its time"
        await door.until(lambda: connection._answer_due.is_running)
        assert len(await client.reader.readexactly(len(LARGE))) == len(LARGE)
        await door.until(lambda: not connection._answer_due.is_running)
        assert await client.ask() == b"HTTP/1.1 200 OK"
