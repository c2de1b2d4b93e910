"""Lines 2 and 5: from Kafka through Faust into windows, wall clock, the embedded broker on the same machine.

The raw rows are not stored here. bytewax is measured in turn with ours where it is installed (``pip install
'incidentscope[bench]'``); its job counts the same windows with the full schema and dictionaries.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from load import TraceLoad
from rows import Row, at_least, figure, main, not_run, quick
from stage_runs import broker, produce, run_ingest

from schemas.settings import Settings
from schemas.topics import TRACES

PARTITIONS = 4
JOB = Path(__file__).with_name("bytewax_job.py")
HAS_BYTEWAX = bool(find_spec("bytewax") and find_spec("confluent_kafka"))


async def ours(settings: Settings, spans: int, records: int, run: int) -> float:
    """Return our spans a second."""
    pace = await run_ingest(settings.model_copy(update={"consumer_group": f"bench-{run}"}), records)
    return pace.records * spans / pace.seconds


async def theirs(settings: Settings) -> float:
    """Return bytewax's spans a second."""
    command = [sys.executable, str(JOB), settings.kafka_brokers, TRACES.name]
    job = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=240)
    if job.returncode:
        raise RuntimeError(job.stderr[-2000:])
    found = json.loads(job.stdout.splitlines()[-1])
    return float(found["spans"] / found["seconds"])


async def measure(spans: int, records: int, rounds: int, beside: bool) -> tuple[list[float], list[float]]:
    """Return our speeds and bytewax's, round by round."""
    load = TraceLoad(spans, templates=max(2, min(20, 40_000 // spans)))
    found: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:
        async with broker(Path(folder), PARTITIONS) as settings:
            sent = await produce(settings, (load.message(number) for number in range(records)))
            for run in range(rounds):
                found[0].append(await ours(settings, spans, sent, run))
                if beside and HAS_BYTEWAX:
                    found[1].append(await theirs(settings))
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    speeds, beside = asyncio.run(measure(500, quick(2_000, 800), quick(3, 1), True))
    name = "2. Kafka, Faust, windows: 500-span messages, wall clock"
    yield at_least(name, statistics.median(speeds), "spans/s", 450_000)
    name = "2. the same job in bytewax with dictionaries: ours is so many times as fast"
    if beside:
        yield figure("2. bytewax with dictionaries", statistics.median(beside), "spans/s")
        ratios = [own / other for own, other in zip(speeds, beside, strict=True)]
        yield at_least(name, statistics.median(ratios), "x", 2.5)
    else:
        yield not_run(name, "x", 2.5, "bytewax is not installed: pip install 'incidentscope[bench]'")
    speeds, _ = asyncio.run(measure(5, quick(20_000, 4_000), quick(3, 1), False))
    yield at_least("5. small messages: 5 spans each", statistics.median(speeds), "spans/s", 60_000)
    speeds, _ = asyncio.run(measure(1_500, quick(600, 280), 1, False))
    yield figure("5. large messages: 1,500 spans each", statistics.median(speeds), "spans/s")


if __name__ == "__main__":
    main(rows)
