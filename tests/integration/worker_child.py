"""A whole worker as a process that can be killed."""

from __future__ import annotations

import asyncio
import json

from schemas.settings import Settings
from topologies.worker import Worker, run_worker


def started(_worker: Worker) -> None:
    """Tell the test that the worker is made."""
    print(json.dumps({"started": True}), flush=True)  # noqa: T201  # how it reports to the test


asyncio.run(run_worker(Settings(_env_file=None), started=started))
