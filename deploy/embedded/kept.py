"""Servers that run as long as we do: this process's side of the keeper."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.embedded import keeper
from deploy.embedded.servers import Child

STOP_PATIENCE_S = keeper.BEFORE_STOP_PATIENCE_S + keeper.STOP_PATIENCE_S + 5.0


class KeptServers:
    """Child processes under a keeper: started on entering, ended on leaving or when this process is gone.

    ``before_stop`` runs to its end while they still serve. ``hold_open`` are file descriptors (a lock, say) that
    the keeper holds until all of them are gone. ``pids`` names the started ones, ``ended`` those that ended by
    themselves, with their exit status.
    """

    def __init__(
        self, children: list[Child], *, before_stop: Child | None = None, hold_open: list[int] | None = None
    ) -> None:
        self.children = children
        self.before_stop = before_stop
        self.pids: dict[str, int] = {}
        self.ended: dict[str, int] = {}
        self._hold_open = hold_open or []
        self._keeper: asyncio.subprocess.Process | None = None
        self._reports: asyncio.Task[None] | None = None
        self._reported = asyncio.Condition()

    @property
    def keeper_pid(self) -> int:
        """The process id of the keeper; 0 before entering."""
        return self._keeper.pid if self._keeper is not None else 0

    async def __aenter__(self) -> Self:
        self._keeper = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(Path(keeper.__file__)),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            start_new_session=True, pass_fds=self._hold_open,
        )  # fmt: skip
        assert self._keeper.stdin is not None
        last = self.before_stop.as_json() if self.before_stop is not None else None
        order = {"children": [child.as_json() for child in self.children], "before_stop": last}
        self._keeper.stdin.write(json.dumps(order).encode() + b"\n")
        self._reports = asyncio.create_task(self._read_reports(self._keeper))
        return self

    async def stop(self, name: str) -> None:
        """Stop one server, and return when it is gone."""
        await self._order({"stop": name}, lambda: name not in self.pids)

    async def start(self, child: Child) -> None:
        """Start one server."""
        self.ended.pop(child.name, None)
        await self._order({"start": child.as_json()}, lambda: child.name in self.pids)

    async def _order(self, order: dict[str, Any], done: Callable[[], bool]) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(STOP_PATIENCE_S), self._reported:
            await self._reported.wait_for(done)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the servers in good order, and return when they are gone."""
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._keeper.wait(), STOP_PATIENCE_S)
        if self._keeper.returncode is None:
            self._keeper.kill()
            await self._keeper.wait()
        if self._reports is not None:
            await self._reports

    async def _read_reports(self, running: asyncio.subprocess.Process) -> None:
        """Note what the keeper says until it ends."""
        assert running.stdout is not None
        async for line in running.stdout:
            fact = json.loads(line)
            async with self._reported:
                if "started" in fact:
                    self.pids[fact["started"]] = fact["pid"]
                elif "stopped" in fact:
                    self.pids.pop(fact["stopped"], None)
                else:
                    self.ended[fact["ended"]] = fact["status"]
                self._reported.notify_all()
