"""Run ``incidentscope`` commands as a user does: own processes, settings in the environment, the API over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from deploy.embedded.ports import any_free_port

T = TypeVar("T")

KEY = "an-end-to-end-key"
STOP_PATIENCE_S = 60.0
COMMAND = Path(sys.executable).with_name("incidentscope")


@dataclass
class Running:
    """A product started by ``incidentscope up``."""

    environment: dict[str, str]
    url: str
    process: asyncio.subprocess.Process
    output: Path
    client: httpx.AsyncClient

    async def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON of an API path below ``/api/v1``."""
        answer = await self.client.get(f"/api/v1{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    async def until(self, attempt: Callable[[], Awaitable[T | None]], patience_s: float) -> T:
        """Return what ``attempt`` finds at last; fails with the product's output when patience ends."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + patience_s
        while loop.time() < give_up_s and self.process.returncode is None:
            try:
                found = await attempt()
            except httpx.HTTPError:
                found = None
            if found is not None:
                return found
            await asyncio.sleep(0.5)
        raise AssertionError(f"waited {patience_s} s in vain; the product said:\n{self.output.read_text()[-4000:]}")


def environment(data_dir: Path, tenant: str, api_port: int) -> dict[str, str]:
    """Return the environment of a command on a data folder of its own, with one API key for ``tenant``."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("INCIDENTSCOPE_")},
        "INCIDENTSCOPE_DATA_DIR": str(data_dir),
        "INCIDENTSCOPE_API_KEYS": f"{KEY}:{tenant}",
        "INCIDENTSCOPE_API_PORT": str(api_port),
    }


async def command(*arguments: str, env: dict[str, str], output: Path) -> asyncio.subprocess.Process:
    """Start a command; what it says goes to ``output``."""
    with output.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            str(COMMAND), *arguments, env=env, stdout=file, stderr=file, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip


async def stop(process: asyncio.subprocess.Process) -> int:
    """End a command as Ctrl-C does, and return its exit status."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    async with asyncio.timeout(STOP_PATIENCE_S):
        return await process.wait()


@asynccontextmanager
async def running_up(folder: Path, tenant: str) -> AsyncIterator[Running]:
    """Run ``incidentscope up`` while the context is open."""
    port, output = any_free_port(), folder / "up.log"
    env = environment(folder / "data", tenant, port)
    process = await command("up", env=env, output=output)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10.0) as client:
        running = Running(env, str(client.base_url), process, output, client)
        try:
            await running.until(lambda: _ready(client), 120.0)
            yield running
        finally:
            await stop(process)


async def _ready(client: httpx.AsyncClient) -> bool | None:
    return True if (await client.get("/readyz")).is_success else None
