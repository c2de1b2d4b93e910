"""One of several workers of a group: ingest into windows until its input ends; tells what it has done, batch by batch.

python tests/bench/worker_child.py BROKERS POSTGRES PARTITIONS GROUP FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from stage_runs import TimedIngest, nowhere, rss_mib, running_ingest


class _Telling(TimedIngest):
    """Prints after each batch: how many records so far, the time, resident memory."""

    async def handle(self, events: Sequence[Any]) -> None:
        """Take a batch, and tell."""
        began_s = time.time()
        await super().handle(events)
        told = {"done": self.done, "began_s": began_s, "ended_s": time.time(), "rss_mib": rss_mib()}
        print(json.dumps(told), flush=True)


async def main(brokers: str, postgres: str, partitions: str, group: str, folder: str) -> None:
    """Work until standard input ends."""
    changes = {"kafka_brokers": brokers, "postgres_dsn": SecretStr(postgres), "consumer_group": group}
    settings = nowhere(Path(folder), int(partitions)).model_copy(update=changes)
    async with running_ingest(settings, _Telling):
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
