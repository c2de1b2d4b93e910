"""The slow lane: a TCP proxy on one connection of the shop that can hold bytes back: ``python -m deploy.shop.proxy``.

It is always in the path, and passes bytes on at once until the ``delay`` fault is switched on. As it knows nothing
of HTTP, what it adds shows only as client duration minus server duration, like a slow network.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass

from deploy.shop.faults import FaultState, follow
from deploy.shop.wiring import Wiring

CHUNK_BYTES = 65_536
CHUNKS_IN_FLIGHT = 256


@dataclass
class Lane:
    """The delay that holds now, in seconds, for what travels from client to server."""

    delay_s: float = 0.0

    def follow(self, state: FaultState) -> None:
        """Take over what is switched on."""
        self.delay_s = state.delay_s


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter, lane: Lane | None) -> None:
    """Pass bytes on in order, each chunk ``lane.delay_s`` after it came; several chunks may be under way at once."""
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
            await under_way.put((loop.time() + (lane.delay_s if lane else 0.0), chunk))
        await under_way.put((loop.time(), b""))
        await delivery
    finally:
        delivery.cancel()
        target.close()


async def serve(listener: socket.socket, target: str, lane: Lane) -> asyncio.Server:
    """Accept connections on ``listener`` and carry each to ``target`` (``host:port``)."""
    host, _, port = target.rpartition(":")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_carry(reader, far_writer, lane), _carry(far_reader, writer, None))

    return await asyncio.start_server(accept, sock=listener)


async def run(fd: int, target_service: str) -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    wiring = Wiring.from_environment()
    lane, ended = Lane(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    watch = asyncio.create_task(follow(wiring, lane.follow, ended.set))
    await serve(socket.socket(fileno=fd), wiring.addresses[target_service], lane)
    await ended.wait()
    watch.cancel()


def main() -> None:
    """Read the command line and run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("target", help="service behind the proxy")
    arguments.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    given = arguments.parse_args()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run(given.fd, given.target))
    os._exit(0)  # connections may still be open: there is nothing to save


if __name__ == "__main__":
    main()
