"""Lines 2 and 5: from Kafka through Faust into windows, wall clock, the embedded broker on the same machine.

Messages are made and sent before the clock starts, so only worker and broker share the cores; how much CPU time each
takes a span is told. Messages are not compressed, as a Collector sends them unless it is told to; what they take when
they are is told too. The raw rows are not stored here. bytewax and Quix Streams are measured in turn with ours where
they are installed (`peers.txt`, in an environment of their own: they ask for older packages than we do); their jobs
count the same windows with the full schema and dictionaries.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from load import TraceLoad
from rows import Row, at_least, figure, main, not_run, quick
from stage_runs import broker, produce, run_ingest

from schemas.settings import Settings
from schemas.topics import TRACES

PARTITIONS = 4
PEERS = {"bytewax": "bytewax_job.py", "Quix Streams": "quixstreams_job.py"}
PEERS_PYTHON = Path(os.environ.get("PEERS", ".venv-peers")) / "bin" / "python"


@dataclass
class Found:
    """What rounds came to: spans a second of wall time, and microseconds of CPU time a span; of peers by name."""

    ours: list[float] = field(default_factory=list)
    worker_cpu_us: list[float] = field(default_factory=list)
    broker_cpu_us: list[float] = field(default_factory=list)
    theirs: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PEERS})
    their_cpu_us: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PEERS})

    async def add_ours(self, settings: Settings, spans: int, records: int, run: int) -> None:
        """Measure ours."""
        pace = await run_ingest(settings.model_copy(update={"consumer_group": f"bench-{run}"}), records)
        taken = pace.records * spans
        self.ours.append(taken / pace.seconds)
        self.worker_cpu_us.append(pace.cpu_s / taken * 1e6)
        self.broker_cpu_us.append(pace.broker_cpu_s / taken * 1e6)

    async def add_theirs(self, settings: Settings, peer: str) -> None:
        """Measure a peer."""
        job = Path(__file__).with_name(PEERS[peer])
        command = [str(PEERS_PYTHON), str(job), settings.kafka_brokers, TRACES.name]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=240)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        self.theirs[peer].append(found["spans"] / found["seconds"])
        self.their_cpu_us[peer].append(found["cpu_s"] / found["spans"] * 1e6)


async def measure(spans: int, records: int, rounds: int, beside: bool, codec: str | None = None) -> Found:
    """Measure ours, and peers where they are, round by round; ``codec`` is what the messages are compressed with."""
    load = TraceLoad(spans, templates=max(2, min(20, 40_000 // spans)))
    found = Found()
    with tempfile.TemporaryDirectory() as folder:
        async with broker(Path(folder), PARTITIONS) as settings:
            sent = await produce(settings, (load.message(number) for number in range(records)), codec=codec)
            for run in range(rounds):
                await found.add_ours(settings, spans, sent, run)
                for peer in PEERS if beside and PEERS_PYTHON.exists() else ():
                    await found.add_theirs(settings, peer)
    return found


def rows() -> Iterator[Row]:
    """Yield the findings."""
    yield from beside_peers("2. Kafka, Faust, windows: 500-span messages, wall clock", None)
    yield from beside_peers("2. the same in zstd, as our Collector and front door send", "zstd")
    found = asyncio.run(measure(5, quick(80_000, 30_000), quick(3, 1), False))
    yield at_least("5. small messages: 5 spans each", statistics.median(found.ours), "spans/s", 60_000)
    yield figure("5. CPU time of a span in the worker", statistics.median(found.worker_cpu_us), "us")
    yield figure("5. CPU time of a span in the broker", statistics.median(found.broker_cpu_us), "us")
    found = asyncio.run(measure(1_500, quick(600, 280), 1, False))
    yield figure("5. large messages: 1,500 spans each", statistics.median(found.ours), "spans/s")


def beside_peers(name: str, codec: str | None) -> Iterator[Row]:
    """Yield what 500-span messages took, and what peers took for them."""
    found = asyncio.run(measure(500, quick(2_000, 800), quick(3, 1), True, codec))
    told = codec or "not compressed"
    yield at_least(name, statistics.median(found.ours), "spans/s", 450_000)
    yield figure(f"2. CPU time of a span in the worker, {told}", statistics.median(found.worker_cpu_us), "us")
    yield figure(f"2. CPU time of a span in the broker, {told}", statistics.median(found.broker_cpu_us), "us")
    for peer in PEERS:
        yield from _against(peer, told, found)


def _against(peer: str, told: str, found: Found) -> Iterator[Row]:
    """Yield what a peer took, and how many times as fast ours is."""
    name = f"2. the job in {peer} with dictionaries, {told}: ours is so many times as fast"
    if not found.theirs[peer]:
        yield not_run(name, "x", 2.5, f"not installed: no {PEERS_PYTHON}")
        return
    yield figure(f"2. {peer} with dictionaries, {told}", statistics.median(found.theirs[peer]), "spans/s")
    yield figure(f"2. CPU time of a span in {peer}, {told}", statistics.median(found.their_cpu_us[peer]), "us")
    ratios = [own / other for own, other in zip(found.ours, found.theirs[peer], strict=True)]
    yield at_least(name, statistics.median(ratios), "x", 2.5)


if __name__ == "__main__":
    main(rows)
