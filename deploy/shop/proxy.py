"""The slow lanes: a TCP proxy on some connections that can hold bytes back.

It is always in the path, and passes bytes on at once until a ``delay`` is switched on. As it knows nothing of HTTP,
what it adds shows only as client duration minus server duration, like a slow network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.shop.switch import Effect, FaultState, follow
from deploy.shop.wiring import LANES, Wiring, lane

CHUNK_BYTES = 65_536
CHUNKS_IN_FLIGHT = 256


@dataclass
class Lane:
    """A connection, and the delay that holds now, in seconds, for what travels from client to server."""

    client: str
    server: str
    delay_s: float = 0.0

    def follow(self, state: FaultState) -> None:
        """Take over what is switched on."""
        self.delay_s = state.of(Effect.DELAY, lane(self.client, self.server))


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, slow: Lane | None) -> None:
    """Pass bytes on in order, each chunk ``slow.delay_s`` after it came; several chunks may be under way at once."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT)

    async def deliver() -> None:
        while True:
            due_s, chunk = await under_way.get()
            if (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if not chunk:
                return
            target.write(chunk)
            await target.drain()

    delivery = asyncio.create_task(deliver())
    try:
        while chunk := await source.read(CHUNK_BYTES):
            await under_way.put((loop.time() + (slow.delay_s if slow else 0.0), chunk))
        await under_way.put((loop.time(), b""))
        await delivery
    finally:
        delivery.cancel()
        target.close()


async def serve(listener: socket.socket, target: str, slow: Lane) -> asyncio.Server:
    """Accept connections on ``listener`` and carry each to ``target`` (``host:port``)."""
    host, _, port = target.rpartition(":")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_carry(reader, far_writer, slow), _carry(far_reader, writer, None))

    return await asyncio.start_server(accept, sock=listener)


async def run(fds: Sequence[int]) -> None:
    """Serve all `LANES`, each on its listening socket, until SIGTERM, or until the parent is gone."""
    wiring, ended = Wiring.from_environment(), asyncio.Event()
    lanes = [Lane(client, server) for client, server in LANES]

    def on_state(state: FaultState) -> None:
        for one in lanes:
            one.follow(state)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    watch = asyncio.create_task(follow(wiring, on_state, ended.set))
    for fd, one in zip(fds, lanes, strict=True):
        [target] = wiring.addresses[one.server]
        await serve(socket.socket(fileno=fd), target, one)
    await ended.wait()
    watch.cancel()


def main() -> None:
    """Read the command line and run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--fd", type=int, action="append", required=True, help="inherited listening socket of a lane"
    )
    given = arguments.parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(given.fd))
    os._exit(0)  # connections may still be open: there is nothing to save
