"""Real worker processes that are killed, stopped and started again while the test looks on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from children import as_environment, with_tests

from schemas.settings import Settings

NURSERY = Path(__file__).with_name("nursery.py")
PATIENCE_S = 300.0


class Worker:
    """One worker process. ``last`` is the newest of what it has told, ``ended`` its exit status once it is gone."""

    def __init__(self, number: int, log: Path) -> None:
        self.number = number
        self.log = log
        self.pid = 0
        self.ended: int | None = None
        self.last: dict[str, Any] = {
            "ready": False, "handled": 0, "raw_lag": 0, "inner_lag": 0, "partitions": {}, "retries": {},
        }  # fmt: skip
        self.heard = 0
        self._news = asyncio.Condition()

    async def hear(self, fact: dict[str, Any]) -> None:
        """Take what the nursery or the worker says."""
        async with self._news:
            self.pid = fact.get("pid", self.pid)
            self.ended = fact.get("ended", self.ended)
            if "ready" in fact:
                self.last = fact
                self.heard += 1
            self._news.notify_all()

    async def until(self, condition: Callable[[Worker], bool], patience_s: float = PATIENCE_S) -> None:
        """Wait for the condition or for the worker's end, whichever comes first."""
        try:
            async with asyncio.timeout(patience_s), self._news:
                await self._news.wait_for(lambda: self.ended is not None or condition(self))
        except TimeoutError:
            raise AssertionError(f"worker {self.number} did not get there: {self.last}\n{self.tail()}") from None

    async def until_ready(self) -> None:
        """Wait until it works."""
        await self.until(lambda worker: worker.last["ready"])
        assert self.ended is None, self.tail()

    async def until_ended(self) -> int:
        """Wait until it is gone, and return its exit status."""
        await self.until(lambda _: False)
        assert self.ended is not None
        return self.ended

    async def kill(self) -> None:
        """End it with SIGKILL, which it cannot see coming."""
        self.signal(signal.SIGKILL)
        await self.until_ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.ended is None:
            os.kill(self.pid, number)

    @property
    def rss_mib(self) -> float:
        """Its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "(no log)"


class Fleet:
    """Starts workers; when it is left, all of them are gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workers: dict[int, Worker] = {}
        self._nursery: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INCIDENTSCOPE_")}
        with (self._folder / "nursery.log").open("ab") as errors:
            self._nursery = await asyncio.create_subprocess_exec(
                sys.executable,
                str(NURSERY),
                env=with_tests(environment),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        assert self._nursery.stdout is not None
        assert b"nursery" in await self._nursery.stdout.readline()
        self._hearing = asyncio.create_task(self._hear(self._nursery.stdout))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        for worker in self._workers.values():
            worker.signal(signal.SIGKILL)
        for worker in self._workers.values():
            await worker.until_ended()
        self._nursery.stdin.close()
        await self._nursery.wait()
        if self._hearing is not None:
            await self._hearing

    async def start(self, settings: Settings, *, failpoint: str = "", saboteur: str = "") -> Worker:
        """Start a worker, perhaps with a failpoint, perhaps with a guard taken away. It is not ready yet."""
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        number = len(self._workers) + 1
        worker = Worker(number, self._folder / "workers.log")
        self._workers[number] = worker
        variables = as_environment(settings.model_copy(update={"failpoint": failpoint}))
        environment = {name: value for name, value in variables.items() if name.startswith("INCIDENTSCOPE_")}
        order = {"start": number, "environment": environment, "log": str(worker.log), "saboteur": saboteur}
        self._nursery.stdin.write(json.dumps(order).encode() + b"\n")
        await worker.until(lambda started: started.pid > 0)
        return worker

    async def _hear(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            fact = json.loads(line)
            await self._workers[fact["worker"]].hear(fact)
