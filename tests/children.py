"""Child processes for kill tests: started with our settings, read line by line, killed without mercy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from schemas.settings import Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """Return the environment from which a child reads the same settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INCIDENTSCOPE_")}
    for name, value in settings:
        text = value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
        if text:
            environment[f"INCIDENTSCOPE_{name.upper()}"] = text
    return environment


def with_tests(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a child finds the modules beside this one."""
    here = str(Path(__file__).parent)
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, [here, environment.get("PYTHONPATH")]))}


class Child:
    """A running child whose standard output is lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.lines: list[dict[str, Any]] = []

    async def until(self, condition: Callable[[list[dict[str, Any]]], bool], patience_s: float = 180.0) -> None:
        """Read lines until ``condition`` holds for all lines so far."""
        assert self._process.stdout is not None
        async with asyncio.timeout(patience_s):
            while not condition(self.lines):
                line = await self._process.stdout.readline()
                assert line, f"the child ended: {self._log.read_text()[-3000:]}"
                if line.startswith(b"{"):
                    self.lines.append(json.loads(line))

    async def ended(self, patience_s: float = 300.0) -> int:
        """Wait until the child ends by itself, and return how: minus the signal's number, if by a signal."""
        assert self._process.stdout is not None
        said: list[bytes] = []
        try:
            async with asyncio.timeout(patience_s):
                async for line in self._process.stdout:
                    said.append(line)
                return await self._process.wait()
        except TimeoutError as error:
            raise AssertionError(f"the child goes on: {b''.join(said[-40:]).decode()}") from error

    async def kill(self) -> None:
        """End the child with SIGKILL, which it cannot see coming."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def child(program: Path | str, settings: Settings, log: Path, *arguments: str) -> AsyncIterator[Child]:
    """Run a Python program (a file, or ``-m`` module) as a child; it is killed at the end if it still runs."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(["-m", program] if isinstance(program, str) else [str(program)]),
            *arguments,
            env=with_tests(as_environment(settings)),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=log.parent,
        )
    running = Child(process, log)
    try:
        yield running
    finally:
        await running.kill()
