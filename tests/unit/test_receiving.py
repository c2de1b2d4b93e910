"""Answers of a broker, received over a real connection in whatever pieces they come."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from sinks.kafka.receiving import AnswerReader

PATIENCE_S = 20.0


@asynccontextmanager
async def connected(
    serve: Callable[[asyncio.StreamWriter], object], has_tls: bool = False
) -> AsyncIterator[AnswerReader]:
    """Give a reader of what ``serve`` (a coroutine function) writes."""
    ours, theirs = _tls() if has_tls else (None, None)

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(writer)  # type: ignore[misc]

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=theirs)
    inner = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, _ = await loop.create_connection(lambda: inner, *server.sockets[0].getsockname(), ssl=ours)
    reader = AnswerReader(transport, inner)
    transport.set_protocol(reader)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader
    finally:
        transport.close()
        server.close()


def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a client and a server on 127.0.0.1 need."""
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    return ours, theirs


@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_what_is_sent_in_any_pieces_is_read_in_any_other_pieces(seed: int, has_tls: bool) -> None:
    """Small answers that come together, and large ones that come in many pieces."""
    chance = random.Random(seed)
    sizes = [chance.choice((1, 4, 37, 65_535, 65_536, 65_537, 700_001)) for _ in range(40)]
    sent = chance.randbytes(sum(sizes))

    async def serve(writer: asyncio.StreamWriter) -> None:
        done = 0
        while done < len(sent):
            piece = sent[done : done + chance.choice((1, 5, 9_000, 65_536, 300_000))]
            writer.write(piece)
            await writer.drain()
            done += len(piece)

    async with connected(serve, has_tls) as reader:
        read = [await reader.readexactly(size) for size in sizes]
    assert [len(piece) for piece in read] == sizes
    assert b"".join(read) == sent


async def test_an_answer_that_breaks_off_is_told() -> None:
    """The connection ends in the middle: nobody waits for the rest."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(100_000))
        writer.write_eof()

    async with connected(serve) as reader:
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(200_000)
        assert reader.at_eof()
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.readexactly(4)


async def test_what_came_before_the_end_can_still_be_read() -> None:
    """The broker answers and closes at once."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(b"last")
        writer.close()

    async with connected(serve) as reader:
        assert await reader.readexactly(4) == b"last"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(4)


async def test_a_reset_connection_is_told() -> None:
    """The broker is gone without a word."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with connected(serve) as reader:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(4)


async def test_nothing_is_received_that_nobody_asks_for() -> None:
    """A broker that sends and sends is held back at 64 KiB; what waits is read later, and all of it."""
    stalled = asyncio.Event()
    sent = random.Random(1).randbytes(32 << 20)

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        stalled.set()
        await writer.drain()

    async with connected(serve) as reader:
        await stalled.wait()
        for _ in iter(reader._transport.is_reading, False):
            await asyncio.sleep(0.001)
        assert await reader.readexactly(len(sent)) == sent


@pytest.mark.parametrize("size_bytes", [-1, 0, 0x48545450])
async def test_a_size_that_no_answer_has_ends_the_connection(size_bytes: int) -> None:
    """The port is somebody else's: 'HTTP' is 1.2 GB. No room is made for it."""

    async def serve(writer: asyncio.StreamWriter) -> None:
        await writer.drain()

    async with connected(serve) as reader:
        with pytest.raises(ConnectionError, match="an answer of"):
            await reader.readexactly(size_bytes)
