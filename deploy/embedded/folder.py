"""The data folder of an embedded stack: who owns it, and the secrets and ports it remembers."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from schemas.errors import SetupError

TAKE_OVER_PATIENCE_S = 80.0
"""How long the servers of a killed predecessor may take to stop before we give up."""


class FolderLock:
    """The right to use a data folder: an ``flock``, which the kernel drops when its last holder ends.

    The keeper inherits the lock, so it is free only when the servers are gone too. The file's text (pid and
    start time) only informs; a dead owner's text never blocks anybody.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stack.lock"
        self.file_descriptor = -1

    async def __aenter__(self) -> FolderLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file_descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._take()
        except BaseException:
            os.close(self.file_descriptor)
            raise
        os.ftruncate(self.file_descriptor, 0)
        os.pwrite(self.file_descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.file_descriptor)

    def is_held(self) -> bool:
        """Tell whether a running stack uses the folder."""
        try:
            file_descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file_descriptor)
        return False

    async def _take(self) -> None:
        deadline_s = time.monotonic() + TAKE_OVER_PATIENCE_S
        while True:
            try:
                fcntl.flock(self.file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                owner = self._owner()
                if owner is None or _is_alive(owner) or time.monotonic() > deadline_s:
                    raise self._in_use(owner) from None
                await asyncio.sleep(0.1)  # the owner is dead, its keeper is still stopping the servers

    def _owner(self) -> int | None:
        text = os.pread(self.file_descriptor, 32, 0).decode().strip()
        return int(text) if text.isdigit() else None

    def _in_use(self, owner: int | None) -> SetupError:
        who = f"process {owner}" if owner is not None else "another process"
        return SetupError(
            f"{self.path.parent} is in use by {who}",
            f"stop {who}, or name another folder with INCIDENTSCOPE_DATA_DIR",
        )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Memory:
    """What a stack remembers from one start to the next: ports, passwords, the broker's generation (a 0600 file)."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stack.json"
        self.facts: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def password(self, name: str) -> str:
        """Return the password of a server, made at first use."""
        return str(self.facts.setdefault(f"{name}_password", secrets.token_urlsafe(24)))

    def save(self) -> None:
        """Write the facts, all or nothing."""
        draft = self.path.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(self.facts, indent=1))
        draft.replace(self.path)
