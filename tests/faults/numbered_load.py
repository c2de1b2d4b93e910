"""Numbered telemetry: every span, log record and metric point carries a number, and the same number is always the same.

::

    chunk c = 5 s of event time, 500 items      75 purchases (300 spans)   125 log records   75 metric points
                                                every 11th comes 15 s late, every 29th 40 s: in time, out of order
    keyed       all spans of a trace in one partition
    not keyed   each service sends its own: the spans of a trace meet in no message, and in no partition for sure

A purchase: ``frontend`` calls ``cart`` calls a database; every 37th fails. The clock is the tenant's own
(``ARRIVAL_HEADER``), so windows close as fast as the data comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from made_spans import CLIENT, MS_NS, SERVER, Arrival, MadeSpan, traces_payload
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER
from schemas.topics import LOGS, METRICS, TRACES
from sinks.kafka.producer import Message
from streams.windows import SECOND_NS

START_NS = 1_750_000_000 * SECOND_NS
CHUNK_NS = 5 * SECOND_NS
TRACES_A_CHUNK, LOGS_A_CHUNK, POINTS_A_CHUNK = 75, 125, 75
SPANS_A_TRACE = 4
ITEMS_A_CHUNK = TRACES_A_CHUNK * SPANS_A_TRACE + LOGS_A_CHUNK + POINTS_A_CHUNK
LONGEST_DELAY_CHUNKS = 8
AFTER_ALL_NS = 300 * SECOND_NS
"""How far the last ticks are ahead of the data: every window is final by then."""

DATABASE = (("db.system.name", "postgresql"), ("db.namespace", "shop"))


@dataclass(frozen=True)
class Numbered:
    """A message and the numbers of the items in it; a tick has none."""

    message: Message
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Load:
    """So many chunks of one tenant's telemetry for so many partitions."""

    tenant: str
    chunks: int
    partitions: int
    keyed: bool = False
    padding_bytes: int = 0
    """Of an attribute of one span in each message: size that no window and no number depends on."""

    @classmethod
    def of_items(cls, items: int, tenant: str, partitions: int, *, keyed: bool = False) -> Load:
        """Return the load with at least so many items."""
        return cls(tenant, -(-items // ITEMS_A_CHUNK), partitions, keyed)

    @property
    def end_ns(self) -> int:
        """The end of the last chunk's event time."""
        return START_NS + self.chunks * CHUNK_NS

    def arrivals(self) -> Iterator[list[Arrival]]:
        """Yield every trace: its spans with their arrivals."""
        for trace in range(self.chunks * TRACES_A_CHUNK):
            yield [
                Arrival(span, self._arrival_ns(trace // TRACES_A_CHUNK + self._delay_chunks(span)))
                for span in purchase(trace)
            ]

    def sent(self) -> Iterator[list[Numbered]]:
        """Yield what is sent chunk by chunk, ticks last; the final ticks close all windows."""
        waiting: dict[int, list[MadeSpan]] = defaultdict(list)
        for chunk in range(self.chunks + LONGEST_DELAY_CHUNKS + 1):
            if chunk < self.chunks:
                for trace in range(chunk * TRACES_A_CHUNK, (chunk + 1) * TRACES_A_CHUNK):
                    for span in purchase(trace):
                        waiting[chunk + self._delay_chunks(span)].append(span)
            messages = self._traces(waiting.pop(chunk, []), chunk)
            if chunk < self.chunks:
                messages += [self._logs(chunk), self._points(chunk)]
            yield messages + self._ticks(self._arrival_ns(chunk))
        yield self._ticks(self.end_ns + AFTER_ALL_NS)

    def _arrival_ns(self, chunk: int) -> int:
        return START_NS + (chunk + 1) * CHUNK_NS

    def _delay_chunks(self, span: MadeSpan) -> int:
        late = span.trace if self.keyed else span.trace * 2 + (span.service == "cart")
        return LONGEST_DELAY_CHUNKS if late % 29 == 0 else 3 if late % 11 == 0 else 0

    def _traces(self, spans: list[MadeSpan], chunk: int) -> list[Numbered]:
        def place(span: MadeSpan) -> int:
            return (span.trace if self.keyed else chunk + (span.service == "cart")) % self.partitions

        spans = sorted(spans, key=lambda span: (place(span), span.service))
        messages = []
        for partition, group in groupby(spans, key=place):
            part = list(group)
            numbers = tuple(span.span for span in part)
            if self.padding_bytes:
                part[0] = replace(part[0], peer=(*part[0].peer, ("padding", "x" * self.padding_bytes)))
            message = self._message(TRACES.name, traces_payload(part), partition, self._arrival_ns(chunk))
            messages.append(Numbered(message, numbers))
        return messages

    def _logs(self, chunk: int) -> Numbered:
        first = chunk * LOGS_A_CHUNK
        request = ExportLogsServiceRequest()
        resource = request.resource_logs.add()
        name = resource.resource.attributes.add()
        name.key, name.value.string_value = "service.name", "cart"
        records = resource.scope_logs.add().log_records
        for number in range(first, first + LOGS_A_CHUNK):
            record = records.add()
            record.time_unix_nano = START_NS + chunk * CHUNK_NS + (number - first) * 39 * MS_NS
            record.severity_number = 17 if number % 5 == 0 else 9  # type: ignore[assignment]
            record.body.string_value = str(number)
        message = self._message(LOGS.name, request.SerializeToString(), chunk, self._arrival_ns(chunk))
        return Numbered(message, tuple(range(first, first + LOGS_A_CHUNK)))

    def _points(self, chunk: int) -> Numbered:
        first = chunk * POINTS_A_CHUNK
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        name = resource.resource.attributes.add()
        name.key, name.value.string_value = "service.name", "cart"
        metric = resource.scope_metrics.add().metrics.add(name="purchases")
        for number in range(first, first + POINTS_A_CHUNK):
            metric.gauge.data_points.add(
                time_unix_nano=START_NS + chunk * CHUNK_NS + (number - first) * 60 * MS_NS, as_int=number
            )
        message = self._message(METRICS.name, request.SerializeToString(), chunk, self._arrival_ns(chunk))
        return Numbered(message, tuple(range(first, first + POINTS_A_CHUNK)))

    def _message(self, topic: str, value: bytes, partition: int, arrival_ns: int) -> Message:
        headers = ((TENANT_HEADER, self.tenant.encode()), (ARRIVAL_HEADER, b"%d" % arrival_ns))
        return Message(topic, value, None, headers, partition % self.partitions)

    def _ticks(self, arrival_ns: int) -> list[Numbered]:
        headers = (
            (TENANT_HEADER, self.tenant.encode()),
            (ARRIVAL_HEADER, b"%d" % arrival_ns),
            (TICK_HEADER, b"1"),
        )
        return [
            Numbered(Message(topic.name, b"", None, headers, partition), ())
            for topic in (TRACES, LOGS)
            for partition in range(self.partitions)
        ]


def purchase(trace: int) -> list[MadeSpan]:
    """Return the four spans of trace number ``trace`` (counted from 0); a span's id is its number."""
    start_ns = START_NS + trace // TRACES_A_CHUNK * CHUNK_NS + trace % TRACES_A_CHUNK * 60 * MS_NS
    end_ns = start_ns + (20 + trace % 50) * MS_NS
    first, failed = trace * SPANS_A_TRACE + 1, trace % 37 == 0
    number = trace + 1  # an id of zeros is no id

    def span(place: int, service: str, name: str, kind: int, late_ms: int, early_ms: int) -> MadeSpan:
        return MadeSpan(
            service, name, kind, number, first + place, first + place - 1 if place else 0,
            start_ns + late_ms * MS_NS, end_ns - early_ms * MS_NS,
            failed and kind == SERVER, DATABASE if place == 3 else (),
        )  # fmt: skip

    return [
        span(0, "frontend", "POST /buy", SERVER, 0, 0),
        span(1, "frontend", "POST cart", CLIENT, 2, 2),
        span(2, "cart", "POST /cart", SERVER, 3, 4),
        span(3, "cart", "INSERT", CLIENT, 5, 8),
    ]
