"""A whole worker as a process that can be killed; tells how many partitions it has of each topic."""

from __future__ import annotations

import asyncio
import json

from schemas.settings import Settings
from topologies.worker import Worker, run_worker

reports: list[asyncio.Task[None]] = []


def started(worker: Worker) -> None:
    """Begin to report."""
    reports.append(asyncio.get_running_loop().create_task(report(worker)))


async def report(worker: Worker) -> None:
    """Print a line whenever the worker's assignment changes; the first one says that it is made."""
    told: object = None
    while True:
        facts = worker.facts()
        line = {"ready": facts.ready, "partitions": facts.partitions}
        if line != told:
            told = line
            print(json.dumps(line), flush=True)  # noqa: T201  # how it reports to the test
        await asyncio.sleep(0.2)


asyncio.run(run_worker(Settings(_env_file=None), started=started))
