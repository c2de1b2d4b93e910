"""Receive large answers of a broker straight into the bytes that they become.

::

    socket ──recv_into──▶ the answer's own bytes ──▶ aiokafka parses it        (asyncio's stream: four copies, four
                                                                               objects and two system calls a 256 KiB)

aiokafka reads through an ``asyncio.StreamReader`` that stops at 64 KiB: each piece of an answer is an object of its
own, is appended to a buffer that grows, stops the reading and starts it again; in the end all is copied out. That was
a third of what fetching cost a worker.
"""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any, cast

from aiokafka.client import AIOKafkaClient

_AHEAD_BYTES = 64 << 10
"""So much is received before anybody asks for it: small answers, and the beginning of large ones."""

_MOST_BYTES = 256 << 20
"""Of an answer: more is no answer of a broker, which is asked for 50 MiB at most."""


class AnswerReader(asyncio.BufferedProtocol):
    """Takes the place of a connection's stream: what aiokafka asks of a ``StreamReader``, for one reader at a time.

    ``inner`` is told all else that happens to the connection: writing, its end.
    """

    def __init__(self, transport: asyncio.Transport, inner: asyncio.StreamReaderProtocol) -> None:
        self._transport = transport
        self._inner = inner
        self._ahead = memoryview(bytearray(_AHEAD_BYTES))
        self._begin = self._end = 0
        self._target: memoryview | None = None
        """Where the answer that is waited for goes on."""
        self._arrived: asyncio.Future[None] | None = None
        self._is_paused = self._has_ended = False
        self._error: Exception | None = None

    async def readexactly(self, size_bytes: int) -> bytes:
        """Return the next bytes.

        Raises ``IncompleteReadError`` at the connection's end, or what has ended it; ``ConnectionError`` for a size
        that no answer has.
        """
        if not 0 < size_bytes <= _MOST_BYTES:
            raise ConnectionError(f"an answer of {size_bytes} bytes")
        answer = BytesIO()
        answer.seek(size_bytes - 1)
        answer.write(b"\0")
        room = answer.getbuffer()
        ready = min(size_bytes, self._end - self._begin)
        room[:ready] = self._ahead[self._begin : self._begin + ready]
        self._begin += ready
        if self._begin == self._end:
            self._begin = self._end = 0
        if ready < size_bytes:
            await self._fill(room[ready:])
        room.release()
        return answer.getvalue()  # the buffer itself: it is as large as what is in it

    async def _fill(self, target: memoryview) -> None:
        self._target = target
        try:
            while self._target is not None:
                self._check()
                self._resume()
                self._arrived = asyncio.get_running_loop().create_future()
                await self._arrived
        finally:
            self._target = self._arrived = None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._has_ended:
            raise asyncio.IncompleteReadError(b"", None)

    def at_eof(self) -> bool:
        """Tell whether nothing will come any more."""
        return self._has_ended and self._begin == self._end

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the transport shall put what comes next."""
        return self._ahead[self._end :] if self._target is None else self._target

    def buffer_updated(self, nbytes: int) -> None:
        """Note that so much has come."""
        if self._target is None:
            self._end += nbytes
            if self._end == len(self._ahead):
                self._is_paused = True
                self._transport.pause_reading()
            return
        self._target = self._target[nbytes:] if nbytes < len(self._target) else None
        if self._target is None:
            self._wake()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def eof_received(self) -> bool | None:
        """Note that the broker has closed its side."""
        self._has_ended = True
        self._wake()
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is over."""
        self._has_ended, self._error = True, exc
        self._wake()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()


class ReceivingClient(AIOKafkaClient):  # type: ignore[misc]  # has no types
    """aiokafka's client, whose connections read with an `AnswerReader`.

    Overridden internals of aiokafka 0.14: ``_get_conn``, the only way to a connection.
    """

    async def _get_conn(self, *arguments: Any, **options: Any) -> Any:
        connection = await super()._get_conn(*arguments, **options)
        if connection is not None and isinstance(connection._reader, asyncio.StreamReader):
            _read_directly(connection)
        return connection


def receive_directly(consumer: Any) -> None:
    """Let a consumer of aiokafka that has not started yet receive with `ReceivingClient`."""
    consumer._client.__class__ = ReceivingClient  # its constructor makes the client, and takes none


def _read_directly(connection: Any) -> None:
    """Exchange the stream of a connection on which nothing has been asked yet."""
    transport = cast(asyncio.Transport, connection._writer.transport)
    connection._read_task.cancel()
    connection._reader = AnswerReader(transport, connection._protocol)
    transport.set_protocol(connection._reader)
    connection._read_task = connection._create_reader_task()
