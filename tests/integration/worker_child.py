"""A whole worker as a process that can be killed; tells whether it is ready, and how many raw records it has taken."""

from __future__ import annotations

import asyncio
import json

from worker_facts import handled

from schemas.settings import Settings
from topologies.worker import Worker, run_worker

reports: list[asyncio.Task[None]] = []


def started(worker: Worker) -> None:
    """Begin to report."""
    reports.append(asyncio.get_running_loop().create_task(report(worker)))


async def report(worker: Worker) -> None:
    """Print a line whenever that has changed; the first one says that the worker is made."""
    told: object = None
    while True:
        line = {"ready": worker.facts().ready, "handled": handled()}
        if line != told:
            told = line
            print(json.dumps(line), flush=True)  # noqa: T201  # how it reports to the test
        await asyncio.sleep(0.05)


asyncio.run(run_worker(Settings(_env_file=None), started=started))
