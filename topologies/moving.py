"""A recording in which all happens some seconds later: the same telemetry, cut into other panes.

What windows make of a recording hangs on where their edges fall, and nobody chose that. A fault that is found only
with some edges was found by luck.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.incidents import Deploy
from topologies.demo.slimming import REQUESTS
from topologies.recordings import Labels, RecordedMessage, Recording, Signal


class MovedRecording(Recording):
    """A recording moved by some seconds: telemetry, arrivals, deploys and labels; the ranges that do not count stay."""

    def __init__(self, folder: Path, by_s: float) -> None:
        super().__init__(folder)
        self._by_ns = round(by_s * 1e9)
        self.labels = _moved(self.labels, by_s)

    def deploys(self, tenant: str) -> list[Deploy]:
        """Return what was announced, so much later."""
        return [one.model_copy(update={"at_ns": one.at_ns + self._by_ns}) for one in super().deploys(tenant)]

    def messages(self) -> Iterator[RecordedMessage]:
        """Yield all messages in the order of their arrival, which is so much later, as are all times in them."""
        for message in super().messages():
            value = later(message.signal, message.value, self._by_ns) if self._by_ns else message.value
            yield RecordedMessage(message.arrival_ns + self._by_ns, message.signal, value)


def _moved(labels: Labels, by_s: float) -> Labels:
    faults = [fault.model_copy(update={"start_unix": fault.start_unix + by_s}) for fault in labels.faults]
    start_s, end_s = labels.start_unix + by_s, labels.end_unix + by_s
    return labels.model_copy(update={"start_unix": start_s, "end_unix": end_s, "faults": faults})


def later(signal: Signal, value: bytes, by_ns: int) -> bytes:
    """Return an ``Export…ServiceRequest`` with all its times so many nanoseconds later; unknown ones (0) stay so."""
    request: Any = REQUESTS[signal].FromString(value)
    for item in _timed(signal, request):
        for field, at_ns in item.ListFields():
            if field.name.endswith("_unix_nano"):
                setattr(item, field.name, at_ns + by_ns)
    return bytes(request.SerializeToString())


def _timed(signal: Signal, request: Any) -> Iterator[Any]:
    """Yield everything in a request that has times of its own."""
    if signal == "traces":
        for span in (span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans):
            yield from (span, *span.events)
    elif signal == "logs":
        yield from (log for one in request.resource_logs for scope in one.scope_logs for log in scope.log_records)
    else:
        metrics = (
            metric for one in request.resource_metrics for scope in one.scope_metrics for metric in scope.metrics
        )
        for metric in metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                yield from (point, *getattr(point, "exemplars", ()))
