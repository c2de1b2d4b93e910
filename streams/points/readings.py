"""What of the metrics goes into the stream: a point each half minute of the series that are kept, and nothing else.

::

    metric (points unread) ─▶ may it be kept? ─▶ seen in this half minute? ─▶ read ─▶ kept series? ─▶ record

Most points are never read: a metric of a resource is looked at once in a half minute of arrival. The rest is in the raw
store. What is told twice does no harm (`streams.points.courses`), so nothing here needs to be rebuilt.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
from google.protobuf.message import DecodeError

from schemas.errors import BadPayload, RejectReason
from schemas.losses import LossReason
from streams.otlp.attributes import cut, read_pairs, readable
from streams.otlp.columns import ResourceMetrics
from streams.otlp.metrics import numbers_of
from streams.otlp.resources import service_and_instance
from streams.otlp.slim import NumberPoint
from streams.points.courses import KEEP_NS, STEP_NS, Attributes, Kept, Point, SeriesName, rank_of
from streams.windows import Loss, LossLedger, WindowConfig

MOST_ATTRIBUTES = 8
MOST_TOLD = 1_000
"""Points of one record."""
MOST_SERVICES = 1_000
"""Services of one tenant: more have no metrics in the stream, and no evidence of them (the raw store has all)."""
MOST_TENANTS = 1_000
"""Of one partition at once; likewise."""

_NO_VALUE = 1
"""Bit of a point's flags: nothing was measured."""
_LARGEST = 1e300

Told = tuple[SeriesName, Point]


@dataclass(slots=True)
class _Tenant:
    driven: bool = False
    step: int = 0
    """The half minute that is being taken."""
    epoch: int = 0
    """The half hour in which `kept` was begun: what is gone by then must not hold a place for ever."""
    seen: set[tuple[str, str, bytes]] = field(default_factory=set)
    kept: dict[str, Kept] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def reach(self, arrival_ns: int) -> None:
        """Begin another half minute, another half hour, when a record arrived in one."""
        if arrival_ns // STEP_NS != self.step:
            self.step, self.seen = arrival_ns // STEP_NS, set()
        if arrival_ns // KEEP_NS != self.epoch:
            self.epoch, self.kept = arrival_ns // KEEP_NS, {}

    def kept_of(self, service: str) -> Kept | None:
        """Return what is kept of a service, None where there are too many services."""
        kept = self.kept.get(service)
        if kept is None and len(self.kept) < MOST_SERVICES:
            kept = self.kept[service] = Kept()
        return kept


class PointFold:
    """Folds the metrics of one source partition into records of ``telemetry.points``."""

    def __init__(self, config: WindowConfig) -> None:
        self._config = config
        self._tenants: dict[str, _Tenant] = {}
        self._losses = LossLedger()

    def take(
        self, tenant: str, resources: Iterable[ResourceMetrics], arrival_ns: int, driven: bool = False
    ) -> None:  # fmt: skip
        """Take the metrics of one record."""
        state = self._tenants.get(tenant)
        if state is None:
            if len(self._tenants) >= MOST_TENANTS:
                self._forget_idle(arrival_ns)
            if len(self._tenants) >= MOST_TENANTS:
                lost = sum(_points_of(resource) for resource in resources)
                self._losses.add(tenant, LossReason.TENANT_OVERFLOW, lost)
                return
            state = self._tenants[tenant] = _Tenant()
        state.driven = driven
        state.reach(arrival_ns)
        for resource in resources:
            service, instance = service_and_instance(resource.attributes)
            kept = state.kept_of(service)
            if kept is None:
                self._losses.add(tenant, LossReason.METRIC_OVERFLOW, _points_of(resource))
                continue
            last = kept.last()
            for metric in resource.metrics:
                name = metric.name
                if rank_of(name) <= last and (service, instance, name) not in state.seen:
                    state.seen.add((service, instance, name))
                    state.told += self._read(kept, service, instance, metric, arrival_ns)

    def _forget_idle(self, arrival_ns: int) -> None:
        """Forget tenants that have sent nothing since the last half hour began, and of whom nothing is to be told."""
        oldest = arrival_ns // KEEP_NS - 1
        self._tenants = {name: state for name, state in self._tenants.items() if state.epoch >= oldest or state.told}

    def _read(
        self, kept: Kept, service: str, instance: str, metric: Any, arrival_ns: int
    ) -> Iterator[Told]:  # fmt: skip
        points, is_counter = numbers_of(metric)
        name, unit = (cut(readable(raw)[0])[0] for raw in (metric.name, metric.unit))
        for raw in points:
            read = _point(raw, arrival_ns)
            if read is not None and self._is_plausible(read[1]):
                series = SeriesName(service, instance, name, unit, is_counter, read[0])
                if kept.takes(series):
                    yield series, read[1]

    def _is_plausible(self, point: Point) -> bool:
        """Tell whether a time may be true: metrics that are sent much later tell of no fault that is going on."""
        late_ns = point.arrival_ns - point.time_ns
        return -self._config.future_ns <= late_ns < KEEP_NS and abs(point.value) <= _LARGEST

    def flush(self) -> list[tuple[str, bytes]]:
        """Return (tenant, record) of what was taken since the last flush."""
        records = []
        for tenant, state in self._tenants.items():
            told, state.told = state.told, []
            for first in range(0, len(told), MOST_TOLD):
                records.append((tenant, encode(told[first : first + MOST_TOLD], tenant, state.driven)))
        return records

    def drain_losses(self) -> list[Loss]:
        """Return the points for which there was no room since the last drain."""
        return self._losses.drain()


def _points_of(resource: ResourceMetrics) -> int:
    """Return how many points of a resource would have been looked at."""
    return sum(len(numbers_of(metric)[0]) for metric in resource.metrics)


def _point(raw: bytes, arrival_ns: int) -> tuple[Attributes, Point] | None:
    try:
        read: Any = NumberPoint.FromString(raw)
    except DecodeError:
        return None
    value = float(read.as_int or read.as_double)
    if read.flags & _NO_VALUE or not math.isfinite(value):
        return None
    return read_pairs(read.attributes, MOST_ATTRIBUTES), Point(read.time_ns, value, arrival_ns)


def encode(told: Sequence[Told], tenant: str, driven: bool) -> bytes:
    """Return a record's value (msgpack)."""
    rows = [[*series[:5], series.attributes, *point] for series, point in told]
    return bytes(msgpack.packb([1, tenant, driven, rows]))


@dataclass(frozen=True, slots=True)
class PointRecord:
    """What a record tells; ``driven`` as in `ServiceHealth`."""

    tenant: str
    driven: bool
    told: list[Told]


def is_driven(value: bytes) -> bool:
    """Tell whether a record is of a replay, without reading its points; raises `BadPayload` for anything else."""
    try:
        unpacker = msgpack.Unpacker()
        unpacker.feed(value)
        unpacker.read_array_header()
        return [unpacker.unpack() for _ in range(3)][2] is True
    except Exception as error:
        raise BadPayload(RejectReason.DECODE, f"no points: {type(error).__name__}") from None


def read_told(value: bytes) -> PointRecord:
    """Read a record's value; raises `BadPayload` for anything else."""
    try:
        _, tenant, driven, rows = msgpack.unpackb(value)
        return PointRecord(str(tenant), bool(driven), [_told(row) for row in rows])
    except Exception as error:
        raise BadPayload(RejectReason.DECODE, f"no points: {type(error).__name__}") from None


def _told(row: list[Any]) -> Told:
    *name, attributes, time_ns, value, arrival_ns = row
    pairs = tuple((str(key), str(text)) for key, text in attributes)
    service, instance, metric, unit, is_counter = name
    series = SeriesName(str(service), str(instance), str(metric), str(unit), bool(is_counter), pairs)
    return series, Point(int(time_ns), float(value), int(arrival_ns))
