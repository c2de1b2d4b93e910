"""Spans made for tests: written down plainly, turned into real OTLP, and arriving when the test says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.windows import SECOND_NS

MS_NS = 1_000_000
START_NS = 1_700_000_000 * SECOND_NS
UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 0, 1, 2, 3, 4, 5


@dataclass(frozen=True)
class MadeSpan:
    """A span; ``trace``, ``span`` and ``parent`` are small numbers (parent 0: a root), ``peer`` its attributes.

    ``exceptions`` are those its events tell of: type, message and stack trace of each. ``instance`` is an attribute of
    its resource and what it says, ``version`` the service's, ``tier`` its ``service.criticality``.
    """

    service: str
    name: str
    kind: int
    trace: int
    span: int
    parent: int
    start_ns: int
    end_ns: int
    error: bool = False
    peer: tuple[tuple[str, str], ...] = ()
    exceptions: tuple[tuple[str, str, str], ...] = ()
    instance: tuple[str, str] | None = None
    version: str = ""
    tier: str = ""

    @property
    def trace_id(self) -> bytes:
        """The 16 bytes of the trace id."""
        return self.trace.to_bytes(16, "big")


@dataclass(frozen=True)
class Arrival:
    """A span and when its record arrived."""

    span: MadeSpan
    at_ns: int


@dataclass(frozen=True)
class RawRecord:
    """A record of a raw topic: spans that arrived together in one partition."""

    partition: int
    at_ns: int
    spans: tuple[MadeSpan, ...]


def traces_payload(spans: Iterable[MadeSpan]) -> bytes:
    """Return the spans as an ``ExportTraceServiceRequest``, one resource a run of equal services and parts."""
    request = ExportTraceServiceRequest()
    whose = attrgetter("service", "instance", "version", "tier")
    for (service, instance, version, tier), group in groupby(spans, whose):
        resource = request.resource_spans.add()
        if instance is not None:
            resource.resource.attributes.add(key=instance[0]).value.string_value = instance[1]
        if version:
            resource.resource.attributes.add(key="service.version").value.string_value = version
        if tier:
            resource.resource.attributes.add(key="service.criticality").value.string_value = tier
        name = resource.resource.attributes.add()
        name.key, name.value.string_value = "service.name", service
        scope = resource.scope_spans.add()
        for made in group:
            span = scope.spans.add()
            span.trace_id, span.span_id = made.trace_id, made.span.to_bytes(8, "big")
            span.parent_span_id = made.parent.to_bytes(8, "big") if made.parent else b""
            span.name, span.kind = made.name, made.kind  # type: ignore[assignment]
            span.start_time_unix_nano, span.end_time_unix_nano = made.start_ns, made.end_ns
            if made.error:
                span.status.code = 2  # type: ignore[assignment]
            for key, value in made.peer:
                attribute = span.attributes.add()
                attribute.key, attribute.value.string_value = key, value
            for thrown in made.exceptions:
                event = span.events.add(time_unix_nano=made.end_ns, name="exception")
                for key, text in zip(("type", "message", "stacktrace"), thrown, strict=True):
                    event.attributes.add(key=f"exception.{key}").value.string_value = text
    return request.SerializeToString()


def records_of(arrivals: Iterable[Arrival], partition_of: dict[tuple[int, int], int] | int = 0) -> list[RawRecord]:
    """Group arrivals by partition and instant into records, in the order of arrival.

    ``partition_of`` gives each (trace, span) its partition, or all of them one.
    """

    def place(arrival: Arrival) -> tuple[int, int]:
        span = arrival.span
        partition = partition_of if isinstance(partition_of, int) else partition_of[span.trace, span.span]
        return arrival.at_ns, partition

    ordered = sorted(arrivals, key=lambda arrival: (*place(arrival), arrival.span.trace, arrival.span.span))
    return [
        RawRecord(partition, at_ns, tuple(arrival.span for arrival in group))
        for (at_ns, partition), group in groupby(ordered, key=place)
    ]


# -- strategies --------------------------------------------------------------------------------------------

SERVICES = ("front", "cart", "pay")
PEERS = (
    (),
    (("db.system.name", "postgresql"), ("db.namespace", "shop")),
    (("messaging.system", "kafka"), ("messaging.destination.name", "orders")),
    (("server.address", "bank.example"), ("server.port", "8443")),
)


@st.composite
def traces(draw: st.DrawFn, trace: int, latest_s: int = 40) -> list[MadeSpan]:
    """Draw the spans of one trace: a tree of up to 8, sometimes with a parent that is missing."""
    spans: list[MadeSpan] = []
    for number in range(1, draw(st.integers(1, 8)) + 1):
        parent = draw(st.sampled_from(spans)) if spans else None
        missing = draw(st.integers(0, 9)) == 0
        earliest_ns = parent.start_ns - SECOND_NS if parent else START_NS
        spread_ms = 12_000 if parent else latest_s * 1000
        start_ns = earliest_ns + draw(st.integers(0, spread_ms)) * MS_NS
        kind = draw(st.sampled_from((UNSPECIFIED, INTERNAL, SERVER, SERVER, CLIENT, CLIENT, PRODUCER, CONSUMER)))
        spans.append(
            MadeSpan(
                service=draw(st.sampled_from(SERVICES)),
                name=f"op{draw(st.integers(0, 2))}",
                kind=kind,
                trace=trace,
                span=trace * 100 + number,
                parent=99 if missing else (parent.span if parent else 0),
                start_ns=start_ns,
                end_ns=start_ns + draw(st.integers(0, 20_000)) * MS_NS,
                error=draw(st.booleans()),
                peer=draw(st.sampled_from(PEERS)) if kind in (UNSPECIFIED, CLIENT, PRODUCER, CONSUMER) else (),
            )
        )
    return spans


@st.composite
def telemetry(draw: st.DrawFn, traces_up_to: int = 4, delays_s: st.SearchStrategy[int] | None = None) -> list[Arrival]:
    """Draw some traces whose spans arrive ``delays_s`` after their end (by default: mostly soon, some late)."""
    if delays_s is None:
        delays_s = st.one_of(st.integers(0, 5), st.integers(0, 58), st.integers(0, 100))
    count = draw(st.integers(1, traces_up_to))
    found: list[Arrival] = []
    for number in range(1, count + 1):
        for span in draw(traces(number)):
            arrived_s = span.end_ns // SECOND_NS + 1 + draw(delays_s)
            found.append(Arrival(span, arrived_s * SECOND_NS))
    return found
