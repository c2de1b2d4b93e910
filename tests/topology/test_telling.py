"""Ingest on a channel: a batch is told while the next one is decoded, in order and never past a failure."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from faust.types import TP
from stage_bench import Bench, RecordingProducer
from test_ingest import ACME, BEGIN_NS, TICK, RecordingSink, ingest_on, one_span

from schemas.keys import service_key
from schemas.topics import ROLLUPS, TRACES
from sinks.kafka.producer import Message
from streams.partials import ServicePartial
from topologies import metrics

TRACES_0 = TP(TRACES.name, 0)
SERVICES = 1_000
BATCHES = 12


@dataclass
class GatedProducer(RecordingProducer):
    """Confirms records when the gate is open; ``broken`` is a bug of ours."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0
    broken: bool = False

    async def send_many(self, messages: list[Message]) -> None:
        """Wait at the gate."""
        self.begun += 1
        await self.gate.wait()
        if self.broken:
            raise ValueError("a bug")
        await super().send_many(messages)


def decoded() -> float:
    """Return how many spans of the tenant were decoded in this process."""
    return float(metrics.ITEMS.labels(metrics.tenant_label("acme"), "traces")._value.get())


def bench_on(folder: Path, producer: GatedProducer) -> Bench:
    """Return a bench with this producer."""
    bench = Bench(folder)
    bench.stores.producer = producer
    return bench


async def two_records(bench: Bench, producer: GatedProducer) -> None:
    """Give two records, the second when the first is on its way to the broker, and wait until both are decoded."""
    before = decoded()
    await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
    await bench.until(lambda: producer.begun == 1)
    await bench.give(TRACES.name, one_span(BEGIN_NS), headers=ACME, wall_ns=BEGIN_NS)
    await bench.until(lambda: decoded() == before + 2)


async def test_a_batch_is_decoded_while_the_one_before_is_told(tmp_path: Path) -> None:
    """A round trip to the broker is no time lost, and order is kept."""
    bench, sink = bench_on(tmp_path, producer := GatedProducer()), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await two_records(bench, producer)
        assert not producer.sent
        assert not sink.rows
        producer.gate.set()
        await bench.until(lambda: bench.app.floors.position(TRACES_0) == 2)
        while len(producer.values(ROLLUPS.name, service_key("acme", "cart"))) < 2:  # due with a tick
            await bench.give(TRACES.name, b"", headers=TICK, wall_ns=BEGIN_NS)
            await asyncio.sleep(0.05)
    told = [ServicePartial.decode(value) for value in producer.values(ROLLUPS.name, service_key("acme", "cart"))]
    assert [partial.last_offset for partial in told] == [0, 1]
    assert [row.offset for row in sink.rows] == [0, 1]


async def test_telling_has_a_bounded_share_of_the_time(tmp_path: Path) -> None:
    """Each batch changes every service's window, and telling that takes longer than decoding it: few are told."""
    bench, sink = bench_on(tmp_path, producer := GatedProducer()), RecordingSink()
    producer.gate.set()
    payload = b"".join(
        one_span(BEGIN_NS, f"service-{number}") for number in range(SERVICES)
    )  # appended: repeated fields
    async with bench.running(ingest_on(bench, sink)):
        for batch in range(1, BATCHES + 1):
            await bench.give(TRACES.name, payload, headers=ACME, wall_ns=BEGIN_NS)
            await bench.until(lambda: bench.app.floors.position(TRACES_0) == batch)  # noqa: B023
    told = producer.values(ROLLUPS.name, service_key("acme", "service-0"))
    assert 0 < len(told) < BATCHES / 2


async def test_nothing_is_told_or_stored_past_what_could_not_be_told(tmp_path: Path) -> None:
    """The floor would pass what nobody has been told, while the worker is on its way out and its agents are ended."""
    bench, sink = bench_on(tmp_path, producer := GatedProducer(broken=True)), RecordingSink()
    async with bench.running(ingest_on(bench, sink)):
        await two_records(bench, producer)
        producer.gate.set()
        async with asyncio.timeout(60):
            await bench.app.failed.wait()
        producer.broken = False
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while not sink.rows:  # noqa: ASYNC110 - it must not come
                    await asyncio.sleep(0.01)
    assert isinstance(bench.app.failure and bench.app.failure[1], ValueError)
    assert (producer.sent, sink.rows, bench.app.floors.position(TRACES_0)) == ([], [], None)
