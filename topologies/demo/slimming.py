"""Make telemetry of the shop small enough to be kept in a repository, and fit to be given away.

Ids are numbered in the order they come, times are cut to 16 microseconds (2^14 ns), and what only names a connection
of this machine (ephemeral ports, loopback addresses) is left out, as are exemplars. What belongs together still does,
no order within a trace is reversed. A recording halves: random bits are most of what compression leaves.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from topologies.recordings import Signal

REQUESTS: dict[Signal, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
MACHINE_ONLY = frozenset(
    ("client.port", "client.address", "network.peer.port", "network.peer.address", "user_agent.original")
)
COARSE = ~0x3FFF
"""Mask of the nanoseconds that are kept."""


class Slimmer:
    """Slims the messages of one recording; give it all of them, as ids are remembered from one to the next."""

    def __init__(self) -> None:
        self._roots = own_roots()
        self._ids: dict[bytes, bytes] = {b"": b""}

    def slim(self, signal: Signal, value: bytes) -> tuple[bytes, int]:
        """Return the message made small, and how many spans, metrics or log records it holds."""
        request: Any = REQUESTS[signal].FromString(without_paths(value, self._roots))
        if signal == "traces":
            items = [each for one in request.resource_spans for scope in one.scope_spans for each in scope.spans]
            for span in items:
                self._slim_span(span)
        elif signal == "logs":
            items = [each for one in request.resource_logs for scope in one.scope_logs for each in scope.log_records]
            for record in items:
                record.time_unix_nano &= COARSE
                record.observed_time_unix_nano &= COARSE
                self._number(record)
        else:
            items = [each for one in request.resource_metrics for scope in one.scope_metrics for each in scope.metrics]
            for metric in items:
                for point in getattr(metric, metric.WhichOneof("data")).data_points:
                    if hasattr(point, "exemplars"):  # a summary has none
                        point.ClearField("exemplars")
        return request.SerializeToString(), len(items)

    def _slim_span(self, span: Any) -> None:
        self._number(span)
        span.parent_span_id = self._numbered(span.parent_span_id)
        span.start_time_unix_nano &= COARSE
        span.end_time_unix_nano &= COARSE
        kept = [attribute for attribute in span.attributes if attribute.key not in MACHINE_ONLY]
        del span.attributes[:]
        span.attributes.extend(kept)

    def _number(self, item: Any) -> None:
        item.trace_id = self._numbered(item.trace_id)
        item.span_id = self._numbered(item.span_id)

    def _numbered(self, known_as: bytes) -> bytes:
        """Return the number of a trace or span id, of the same length, never all zero."""
        if known_as not in self._ids:
            self._ids[known_as] = len(self._ids).to_bytes(len(known_as), "big")
        return self._ids[known_as]


def own_roots() -> list[str]:
    """Return the folders of this machine that stack traces of the shop name, the longest first."""
    roots = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), str(Path.home())}
    return sorted((root for root in roots if len(root) > 1), key=len, reverse=True)


def without_paths(value: bytes, roots: Iterable[str]) -> bytes:
    """Replace folders by others of the same length: a recording is for others, and lengths are part of protobuf."""
    for root in roots:
        value = value.replace(root.encode(), b"/" + b"x" * (len(root.encode()) - 1))
    return value
