"""A process that holds an embedded stack on a folder and says which processes it started, until it is ended."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from deploy.embedded import EmbeddedStack
from schemas.errors import SetupError
from schemas.settings import Settings


async def hold(folder: Path) -> None:
    """Run the stack; print one line of facts when it is up."""
    stack = EmbeddedStack(Settings(data_dir=folder, _env_file=None))
    async with stack:
        facts = {"pids": stack.pids, "kafka": stack.kafka_address}
        print(json.dumps(facts), flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(hold(Path(sys.argv[1])))
    except SetupError as error:
        sys.exit(f"SetupError: {error}")
