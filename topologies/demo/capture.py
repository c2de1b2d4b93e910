"""Record a demo: read the raw topics from now on and write a recording (docs/recordings.md)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.shop.faults import Fault
from schemas.keys import TENANT_HEADER, TICK_HEADER
from schemas.settings import Settings
from schemas.topics import RAW_TOPICS
from sinks.kafka.connection import client_settings
from streams.otlp import open_payload
from topologies.recordings import Labels, RecordedFault, RecordedMessage, RecordingWriter, Signal

SIGNAL_OF: dict[str, Signal] = {"otel.traces": "traces", "otel.metrics": "metrics", "otel.logs": "logs"}

FAULT_S = 180.0
"""How long the fault of a recording lasts, as those of the recorded outages do."""


class Capture:
    """A recording of a demo in the making."""

    def __init__(self, writer: RecordingWriter, reading: asyncio.Task[None]) -> None:
        self._writer = writer
        self._reading = reading
        self._begun_s = time.time()
        self._fault: Fault | None = None
        self._fault_begun_s = 0.0

    def fault_begins(self, fault: Fault) -> None:
        """Note the truth: this fault begins now."""
        self._fault, self._fault_begun_s = fault, time.time()

    async def finish(self) -> None:
        """Keep recording until the fault has lasted for `FAULT_S`, then write the labels."""
        assert self._fault is not None, "a recording without a fault has no labels"
        await asyncio.sleep(max(0.0, self._fault_begun_s + FAULT_S - time.time()))
        if self._reading.done():
            self._reading.result()
        self._reading.cancel()
        fault = RecordedFault(
            id=f"shop-{self._fault.name}",
            start_unix=round(self._fault_begun_s, 3),
            duration_s=round(time.time() - self._fault_begun_s, 1),
            service=self._fault.service,
            fault=self._fault.kind,
            start_uncertainty_s=1.0,
        )
        labels = Labels(
            name=self._writer.folder.name,
            start_unix=round(self._begun_s, 3),
            end_unix=round(time.time(), 3),
            faults=[fault],
        )
        await asyncio.to_thread(self._writer.finish, labels)


@asynccontextmanager
async def capture(settings: Settings, tenant: str, folder: Path) -> AsyncIterator[Capture]:
    """Write down everything of ``tenant`` that comes in until `Capture.finish`."""
    writer = RecordingWriter(folder)
    partitions = [TopicPartition(topic.name, number) for topic in RAW_TOPICS for number in range(settings.partitions)]
    consumer = AIOKafkaConsumer(**client_settings(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_end()
        await asyncio.gather(*(consumer.position(partition) for partition in partitions))
        reading = asyncio.create_task(_read(consumer, tenant, writer), name="capture")
        try:
            yield Capture(writer, reading)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, tenant: str, writer: RecordingWriter) -> None:
    async for record in consumer:
        message = to_message(record, tenant)
        if message is not None:
            writer.append(message, items=count_items(message))


def to_message(record: ConsumerRecord, tenant: str) -> RecordedMessage | None:
    """Return the telemetry of a record as protobuf, None for ticks and other tenants."""
    headers = dict(record.headers)
    if TICK_HEADER in headers or headers.get(TENANT_HEADER) != tenant.encode():
        return None
    value = without_paths(open_payload(record.value), own_roots())
    return RecordedMessage(record.timestamp * 1_000_000, SIGNAL_OF[record.topic], value)


def own_roots() -> list[str]:
    """Return the folders of this machine that stack traces of the shop name, the longest first."""
    roots = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), str(Path.home())}
    return sorted((root for root in roots if len(root) > 1), key=len, reverse=True)


def without_paths(value: bytes, roots: Iterable[str]) -> bytes:
    """Replace folders by others of the same length: a recording is for others, and lengths are part of protobuf."""
    for root in roots:
        value = value.replace(root.encode(), b"/" + b"x" * (len(root.encode()) - 1))
    return value


def count_items(message: RecordedMessage) -> int:
    """Return how many spans, metrics or log records a message holds."""
    if message.signal == "traces":
        spans = ExportTraceServiceRequest.FromString(message.value).resource_spans
        return sum(len(scope.spans) for each in spans for scope in each.scope_spans)
    if message.signal == "logs":
        logs = ExportLogsServiceRequest.FromString(message.value).resource_logs
        return sum(len(scope.log_records) for each in logs for scope in each.scope_logs)
    metrics = ExportMetricsServiceRequest.FromString(message.value).resource_metrics
    return sum(len(scope.metrics) for each in metrics for scope in each.scope_metrics)
