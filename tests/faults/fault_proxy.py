"""A TCP proxy that does to a connection what networks and dying servers do.

::

    client ──▶ FaultProxy ──▶ server          PASS       bytes go on as they come
                                              REFUSE     nobody listens; what was open is reset
                                              BLACKHOLE  nothing gets through, and nothing is refused; what was
                                                         held comes through afterwards, as TCP would send it again
                                              DELAY      each answer comes ``delay_s`` later
                                              THROTTLE   answers and requests at ``bytes_per_s``
                                              CUT        a request that matches reaches the server, which carries it
                                                         out; its answer is dropped with the connection

`FaultProxy.cuts` counts the answers that were dropped, so a test can wait for them. With ``kafka=True`` the
broker's own address in its answers becomes the proxy's, or clients would go round it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Mode(Enum):
    """What the proxy does at present."""

    PASS = "pass"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    DELAY = "delay"
    THROTTLE = "throttle"
    CUT = "cut"


class FaultProxy:
    """A proxy before one server on loopback. ``port`` is its own; it stays the same through all modes."""

    def __init__(self, target_port: int, *, kafka: bool = False) -> None:
        self.target_port = target_port
        self.port = 0
        self.mode = Mode.PASS
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.cuts = 0
        self._cuts_left = 0
        self._wanted: Callable[[bytes], bool] = lambda _: True
        self._kafka = kafka
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.set(Mode.REFUSE)

    async def set(
        self,
        mode: Mode,
        *,
        delay_s: float = 0.0,
        bytes_per_s: float = 0.0,
        cuts: int = 0,
        when: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Change the mode. ``CUT`` ends by itself after ``cuts`` cuts of requests whose bytes satisfy ``when``."""
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s
        self._cuts_left, self._wanted = cuts, when
        async with self._changed:
            self.mode = mode
            self._changed.notify_all()
        if mode is Mode.REFUSE:
            await self._close()
        elif self._listener is None:
            await self._listen()

    async def until_cuts(self, count: int, patience_s: float = 60.0) -> None:
        """Wait until so many answers were dropped in all."""
        async with asyncio.timeout(patience_s), self._changed:
            await self._changed.wait_for(lambda: self.cuts >= count)

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    # -- for connections -----------------------------------------------------------------------------------

    def wants_cut(self, request: bytes) -> bool:
        """Tell whether the answer to this request is to be dropped."""
        return self.mode is Mode.CUT and self._cuts_left > 0 and self._wanted(request)

    async def until_not(self, mode: Mode) -> None:
        """Wait until the mode is another."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.mode is not mode)

    async def count_cut(self) -> None:
        """Note a dropped answer."""
        async with self._changed:
            self.cuts += 1
            self._cuts_left -= 1
            if self._cuts_left <= 0 and self.mode is Mode.CUT:
                self.mode = Mode.PASS
            self._changed.notify_all()

    def renamed(self, answer: bytes) -> bytes:
        """Put our address where a Kafka answer names the broker's (host, then port as int32)."""
        return answer.replace(
            b"127.0.0.1" + struct.pack(">i", self.target_port), b"127.0.0.1" + struct.pack(">i", self.port)
        )

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for connection in list(self._connections):
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, writer, far_writer)
        self._connections.add(connection)
        try:
            await connection.carry(reader, far_reader, kafka=self._kafka)
        finally:
            self._connections.discard(connection)
            connection.reset()


class _Connection:
    """One client's connection and its way on to the server."""

    def __init__(self, proxy: FaultProxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._near = near
        self._far = far
        self._to_cut = False

    def reset(self) -> None:
        """Break it off."""
        self._near.transport.abort()
        self._far.transport.abort()

    async def carry(self, near: asyncio.StreamReader, far: asyncio.StreamReader, *, kafka: bool) -> None:
        """Carry both ways until one side ends."""
        tasks = {asyncio.create_task(self._requests(near)), asyncio.create_task(self._answers(far, kafka=kafka))}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _requests(self, source: asyncio.StreamReader) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            self._to_cut = self._to_cut or self._proxy.wants_cut(chunk)
            await self._held_up(len(chunk))
            await self._pass_on(self._far, chunk)

    async def _answers(self, source: asyncio.StreamReader, *, kafka: bool) -> None:
        while chunk := await (_frame(source) if kafka else source.read(CHUNK_BYTES)):
            if self._to_cut:
                await self._proxy.count_cut()
                return
            if self._proxy.mode is Mode.DELAY:
                await asyncio.sleep(self._proxy.delay_s)
            await self._held_up(len(chunk))
            await self._pass_on(self._near, self._proxy.renamed(chunk) if kafka else chunk)

    async def _held_up(self, size_bytes: int) -> None:
        """Wait as the mode demands."""
        await self._proxy.until_not(Mode.BLACKHOLE)
        if self._proxy.mode is Mode.THROTTLE:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(size_bytes / self._proxy.bytes_per_s):
                    await self._proxy.until_not(Mode.THROTTLE)

    async def _pass_on(self, target: asyncio.StreamWriter, chunk: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            target.write(chunk)
            await target.drain()


async def _frame(source: asyncio.StreamReader) -> bytes:
    """Read one whole Kafka answer with its length before it; nothing at the end."""
    try:
        size = await source.readexactly(4)
        return size + await source.readexactly(int.from_bytes(size, "big"))
    except asyncio.IncompleteReadError:
        return b""
