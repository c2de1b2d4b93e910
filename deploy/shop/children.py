"""The processes of the shop as processes: listening sockets, start, readiness, end.

They are forked by Python's fork server, which has imported what they need once: a start costs a tenth of the processor
time that an interpreter of its own would, so that a release does not slow the whole of a small machine down.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import httpx

from deploy.shop.wiring import SERVICES
from schemas.errors import SetupError

READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 6.0

PROGRAMS = ("deploy.shop.service", "deploy.shop.proxy", "deploy.shop.card_network", "deploy.shop.load")
FORK_SERVER = get_context("forkserver")
"""Imports ``__main__`` too, which each child would otherwise."""
FORK_SERVER.set_forkserver_preload(["__main__", *PROGRAMS, *(f"deploy.shop.services.{name}" for name in SERVICES)])


class Children:
    """Processes by name. Their sockets are ours and inherited, so a new one takes over without a refused connection.

    ``folder`` takes a log for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listeners: dict[str, socket.socket] = {}
        self._processes: dict[str, ForkServerProcess] = {}
        self._starting = asyncio.Lock()

    def listen(self, name: str, port: int = 0) -> None:
        """Open the listening socket of ``name`` on loopback; any free port unless one is given."""
        self._listeners[name] = socket.create_server(("127.0.0.1", port), backlog=512)

    def address(self, name: str) -> str:
        """Return ``host:port`` of a listening socket."""
        host, port = self._listeners[name].getsockname()
        return f"{host}:{port}"

    def pid(self, name: str) -> int:
        """Return the process id."""
        pid = self._processes[name].pid
        assert pid is not None, "it was started"
        return pid

    def ended(self) -> dict[str, int]:
        """Return the processes that ended though nobody asked them to, with their exit codes."""
        return {name: code for name, p in self._processes.items() if (code := p.exitcode) is not None}

    async def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], sockets: Sequence[str] = ()
    ) -> ForkServerProcess | None:
        """Run one of `PROGRAMS`, with the sockets of these names as ``--fd``; return the process it takes over from."""
        before, listeners = self._processes.get(name), [self._listeners[each] for each in sockets]
        given = (list(arguments), dict(environment), self._folder / f"{name}.log", listeners)
        process = FORK_SERVER.Process(target=_run, args=given, name=name, daemon=True)
        async with self._starting:  # the first one waits for the imports
            await asyncio.to_thread(process.start)
        self._processes[name] = process
        return before

    async def until_ready(self, name: str) -> None:
        """Wait until the present process answers. Raises `SetupError` when it does not."""
        url = f"http://{self.address(name)}/ready"
        process = self._processes[name]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_PATIENCE_S), httpx.AsyncClient(headers={"Connection": "close"}) as client:
                while process.exitcode is None:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(url, timeout=2.0)).json()["pid"] == process.pid:
                            return
                    await asyncio.sleep(0.1)
        raise SetupError(f"shop service {name} does not start", f"read {self._folder / name}.log")

    async def kill(self, name: str) -> int:
        """Kill a process without a word, and close its socket, so that connections are refused; return the port."""
        process = self._processes.pop(name)
        listener = self._listeners.pop(name)
        port: int = listener.getsockname()[1]
        listener.close()
        process.kill()
        await _ended(process)
        return port

    async def stop(self, names: Iterable[str]) -> None:
        """Tell processes to end, and wait until they have."""
        await asyncio.gather(*(end(self._processes.pop(name)) for name in list(names) if name in self._processes))

    async def stop_all(self) -> None:
        """End all processes and close all sockets."""
        await self.stop(list(self._processes))
        for listener in self._listeners.values():
            listener.close()


async def end(process: ForkServerProcess) -> None:
    """Tell a process to end; kill it when it does not."""
    process.terminate()
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):
            await _ended(process)
    except TimeoutError:
        process.kill()
        await _ended(process)


async def _ended(process: ForkServerProcess) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


def _run(arguments: list[str], environment: dict[str, str], log: Path, listeners: list[socket.socket]) -> None:
    """Be the program, in the fork."""
    os.setsid()  # a Ctrl-C is for the parent to handle, the children are told in good order
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(environment)
    sys.argv = [*arguments, *(word for one in listeners for word in ("--fd", str(one.detach())))]
    importlib.import_module(arguments[0]).main()
