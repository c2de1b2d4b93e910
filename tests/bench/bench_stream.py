"""Lines 2 and 5: from Kafka through Faust into windows, wall clock, the embedded broker on the same machine.

Messages are made and sent before the clock starts, so only worker and broker share the cores; how much CPU time each
takes a span is told. Messages are not compressed, as a Collector sends them unless it is told to; what they take when
they are is told too. The raw rows are not stored here. bytewax is measured in turn with ours where it is installed
(``pip install 'incidentscope[bench]'``); its job counts the same windows with the full schema and dictionaries.
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
from typing import NamedTuple

from load import TraceLoad
from rows import Row, at_least, figure, main, not_run, quick
from stage_runs import broker, produce, run_ingest

from schemas.settings import Settings
from schemas.topics import TRACES

PARTITIONS = 4
JOB = Path(__file__).with_name("bytewax_job.py")
HAS_BYTEWAX = bool(find_spec("bytewax") and find_spec("confluent_kafka"))


class Found(NamedTuple):
    """What rounds came to: spans a second of wall time, and microseconds of CPU time a span."""

    ours: list[float]
    worker_cpu_us: list[float]
    broker_cpu_us: list[float]
    theirs: list[float]
    their_cpu_us: list[float]


async def ours(settings: Settings, spans: int, records: int, run: int) -> tuple[float, float, float]:
    """Return our spans a second, and the CPU time of a span in worker and broker."""
    pace = await run_ingest(settings.model_copy(update={"consumer_group": f"bench-{run}"}), records)
    taken = pace.records * spans
    return taken / pace.seconds, pace.cpu_s / taken * 1e6, pace.broker_cpu_s / taken * 1e6


async def theirs(settings: Settings) -> tuple[float, float]:
    """Return bytewax's spans a second, and its CPU time of a span."""
    command = [sys.executable, str(JOB), settings.kafka_brokers, TRACES.name]
    job = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=240)
    if job.returncode:
        raise RuntimeError(job.stderr[-2000:])
    found = json.loads(job.stdout.splitlines()[-1])
    return found["spans"] / found["seconds"], found["cpu_s"] / found["spans"] * 1e6


async def measure(spans: int, records: int, rounds: int, beside: bool, codec: str | None = None) -> Found:
    """Measure ours, and bytewax's where it is, round by round; ``codec`` is what the messages are compressed with."""
    load = TraceLoad(spans, templates=max(2, min(20, 40_000 // spans)))
    found = Found([], [], [], [], [])
    with tempfile.TemporaryDirectory() as folder:
        async with broker(Path(folder), PARTITIONS) as settings:
            sent = await produce(settings, (load.message(number) for number in range(records)), codec=codec)
            for run in range(rounds):
                for column, value in zip(found, await ours(settings, spans, sent, run), strict=False):
                    column.append(value)
                if beside and HAS_BYTEWAX:
                    for column, value in zip(found[3:], await theirs(settings), strict=True):
                        column.append(value)
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    yield from beside_bytewax("2. Kafka, Faust, windows: 500-span messages, wall clock", None)
    yield from beside_bytewax("2. the same in zstd, as our Collector and front door send", "zstd")
    found = asyncio.run(measure(5, quick(80_000, 30_000), quick(3, 1), False))
    yield at_least("5. small messages: 5 spans each", statistics.median(found.ours), "spans/s", 60_000)
    yield figure("5. CPU time of a span in the worker", statistics.median(found.worker_cpu_us), "us")
    yield figure("5. CPU time of a span in the broker", statistics.median(found.broker_cpu_us), "us")
    found = asyncio.run(measure(1_500, quick(600, 280), 1, False))
    yield figure("5. large messages: 1,500 spans each", statistics.median(found.ours), "spans/s")


def beside_bytewax(name: str, codec: str | None) -> Iterator[Row]:
    """Yield what 500-span messages took, and what bytewax took for them."""
    found = asyncio.run(measure(500, quick(2_000, 800), quick(3, 1), True, codec))
    told = codec or "not compressed"
    yield at_least(name, statistics.median(found.ours), "spans/s", 450_000)
    yield figure(f"2. CPU time of a span in the worker, {told}", statistics.median(found.worker_cpu_us), "us")
    yield figure(f"2. CPU time of a span in the broker, {told}", statistics.median(found.broker_cpu_us), "us")
    name = f"2. the job in bytewax with dictionaries, {told}: ours is so many times as fast"
    if found.theirs:
        yield figure(f"2. bytewax with dictionaries, {told}", statistics.median(found.theirs), "spans/s")
        yield figure(f"2. CPU time of a span in bytewax, {told}", statistics.median(found.their_cpu_us), "us")
        ratios = [own / other for own, other in zip(found.ours, found.theirs, strict=True)]
        yield at_least(name, statistics.median(ratios), "x", 2.5)
    else:
        yield not_run(name, "x", 2.5, "bytewax is not installed: pip install 'incidentscope[bench]'")


if __name__ == "__main__":
    main(rows)
