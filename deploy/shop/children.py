"""The processes of the shop as processes: listening sockets, start, readiness, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import httpx

from schemas.errors import SetupError

READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 6.0


class Children:
    """Processes by name. Their sockets are ours and inherited, so a new one takes over without a refused connection.

    ``folder`` takes a log for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listeners: dict[str, socket.socket] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def listen(self, name: str, port: int = 0) -> None:
        """Open the listening socket of ``name`` on loopback; any free port unless one is given."""
        self._listeners[name] = socket.create_server(("127.0.0.1", port), backlog=512)

    def address(self, name: str) -> str:
        """Return ``host:port`` of a listening socket."""
        host, port = self._listeners[name].getsockname()
        return f"{host}:{port}"

    def pid(self, name: str) -> int:
        """Return the process id."""
        return self._processes[name].pid

    def ended(self) -> dict[str, int]:
        """Return the processes that ended though nobody asked them to, with their exit codes."""
        return {name: p.returncode for name, p in self._processes.items() if p.returncode is not None}

    async def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], sockets: Sequence[str] = ()
    ) -> asyncio.subprocess.Process | None:
        """Run a Python module, with the sockets of these names as ``--fd``; return the process it takes over from."""
        before = self._processes.get(name)
        descriptors = [self._listeners[each].fileno() for each in sockets]
        handed = [word for descriptor in descriptors for word in ("--fd", str(descriptor))]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *arguments, *handed,
                env={**os.environ, **environment}, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=descriptors,
                start_new_session=True,  # a Ctrl-C is ours to handle, the children are told in good order
            )  # fmt: skip
        return before

    async def until_ready(self, name: str) -> None:
        """Wait until the present process answers. Raises `SetupError` when it does not."""
        url = f"http://{self.address(name)}/ready"
        process = self._processes[name]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_PATIENCE_S), httpx.AsyncClient(headers={"Connection": "close"}) as client:
                while process.returncode is None:
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
        await process.wait()
        return port

    async def stop(self, names: Iterable[str]) -> None:
        """Tell processes to end, and wait until they have."""
        await asyncio.gather(*(end(self._processes.pop(name)) for name in list(names) if name in self._processes))

    async def stop_all(self) -> None:
        """End all processes and close all sockets."""
        await self.stop(list(self._processes))
        for listener in self._listeners.values():
            listener.close()


async def end(process: asyncio.subprocess.Process) -> None:
    """Tell a process to end; kill it when it does not."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_PATIENCE_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
