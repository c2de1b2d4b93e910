"""Telemetry of a made shop on an ordinary day, as real OTLP: ten services, their databases, instances and logs.

Traffic follows the day (a fiftieth of noon's at night) and wanders over minutes, latencies follow the load, some
requests are slow by chance, a nightly job slows what it shares a machine with, a few requests fail all the way through,
services log errors all day, and a release is rolled out that is as good as the one before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from schemas.incidents import IncidentEvent
from schemas.settings import Settings
from schemas.topics import LOGS, TRACES
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, SERVER
from tests.quiet_day import PANES_A_DAY, load_of
from tests.wire_rows import pairs, span_rows, traces_request

START_NS = 1_700_006_400 * SECOND_NS
"""Midnight."""
PANE_S, MS_NS = 10, 1_000_000
INFO, ERROR = 9, 17
RELEASE_H = 13.0
DATABASE = {"db.system.name": "postgresql", "server.address": "postgres"}
QUERIES = ("SELECT cart", "SELECT product", "INSERT cart")
ARRIVES_S = 3
"""So long after the end of a pane its records arrive."""
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Record(NamedTuple):
    """What is sent to a topic, and when it arrives."""

    topic: str
    payload: bytes
    arrival_ns: int


@dataclass(frozen=True)
class Service:
    """How a service misbehaves on good days. Latencies are times the medians of its operations."""

    instances: int = 1
    spread: float = 0.5
    """Standard deviation of the logarithm of a latency."""
    slow_share: float = 0.01
    """Requests that take ten times as long."""
    error_share: float = 0.0005
    log_share: float = 0.005
    """Requests that log an error and are answered all the same."""


@dataclass(frozen=True)
class Call:
    """A request to a service: its operation, own milliseconds (median), whom it calls, and how long the way takes."""

    service: str
    operation: str
    own_ms: float
    calls: tuple[Call, ...] = ()
    gap_ms: float = 1.0


SERVICES = {
    "storefront": Service(2),
    "catalog": Service(4, slow_share=0.03),
    "pricing": Service(1, spread=0.3),
    "recommendations": Service(2, spread=0.9, log_share=0.02),
    "cart": Service(3, spread=0.8),
    "accounts": Service(1),
    "checkout": Service(1, error_share=0.004, log_share=0.2),
    "payments": Service(2, spread=0.9, slow_share=0.03),
    "shipping": Service(1),
    "mail": Service(1, spread=1.2, slow_share=0.1, log_share=0.5),
}
WHO = Call("accounts", "GET /session", 2.0)
CART = Call("cart", "GET /cart", 4.0, (Call("", "SELECT cart", 2.0),))
ROUTES = (
    (0.55, Call("storefront", "GET /products", 6.0, (
        Call("catalog", "GET /list", 5.0, (Call("", "SELECT product", 8.0),)), Call("pricing", "GET /quote", 3.0),
        Call("recommendations", "GET /similar", 15.0)))),
    (0.22, Call("storefront", "GET /cart", 4.0, (WHO, CART))),
    (0.12, Call("storefront", "POST /cart", 5.0, (
        WHO, Call("catalog", "GET /stock", 3.0), Call("cart", "POST /item", 6.0, (Call("", "INSERT cart", 4.0),))))),
    (0.06, Call("storefront", "POST /checkout", 9.0, (
        WHO, Call("checkout", "POST /order", 30.0, (
            CART, Call("pricing", "GET /total", 4.0), Call("payments", "POST /charge", 120.0, gap_ms=20.0),
            Call("shipping", "POST /parcel", 25.0), Call("mail", "POST /letter", 200.0)))))),
    (0.05, Call("storefront", "GET /account", 3.0, (Call("accounts", "GET /profile", 8.0),))),
)  # fmt: skip
ERROR_LINES = (
    "upstream timed out after {} ms while reading response", "could not refresh cache entry {}: connection reset",
    "rejected order {} of customer: card declined", "retrying delivery of message {}",
)  # fmt: skip


@dataclass
class QuietShop:
    """Records of the shop by pane, from midnight on."""

    seed: int
    noon_per_s: float = 4.0
    chance: np.random.Generator = field(init=False)
    _burst: float = 1.0
    _trace: int = 1

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)

    def records(self, panes: int, first: int = 0) -> Iterator[Record]:
        """Yield the records of consecutive panes, by arrival."""
        for pane in range(first, first + panes):
            self._burst = 0.9 * self._burst + 0.1 * float(self.chance.lognormal(0, 0.5))
            made = _Pane(self, pane, self._burst)
            arrival_ns = START_NS + ((pane + 1) * PANE_S + ARRIVES_S) * SECOND_NS
            for topic, payload in ((TRACES.name, made.traces()), (LOGS.name, made.logs())):
                if payload:
                    yield Record(topic, payload, arrival_ns)

    def traces(self, many: int) -> Ints:
        """Return so many new traces."""
        self._trace += many
        return np.arange(self._trace - many, self._trace)


def incidents_of(records: Iterable[Record]) -> list[IncidentEvent]:
    """Return the incidents that open when these are all that is heard, through every operator."""
    pipeline, clock_ns = LocalPipeline(Settings()), 0
    opened: list[IncidentEvent] = []
    for topic, payload, clock_ns in records:
        opened += [event for one in pipeline.feed(topic, payload, clock_ns) for event in one.events]
    opened += [event for one in pipeline.advance(clock_ns + 60 * SECOND_NS) for event in one.events]
    assert not pipeline.unreadable
    return [event for event in opened if event.kind == "opened"]


class _Pane:
    """What happens in one pane."""

    def __init__(self, shop: QuietShop, pane: int, burst: float) -> None:
        self.chance, self.load = shop.chance, load_of(pane)
        hour = pane % PANES_A_DAY * 24 / PANES_A_DAY
        self.slower = 1.0 + 0.3 * self.load + (0.5 if 2.0 <= hour < 2.25 else 0.0)
        self.release = 1 if hour >= RELEASE_H else 0
        self._rows: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self._errors: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._answered: dict[str, list[int]] = defaultdict(list)
        self._spans = 0
        for share, route in ROUTES:
            many = int(self.chance.poisson(shop.noon_per_s * PANE_S * self.load * burst * share))
            if many:
                start_ns = START_NS + pane * PANE_S * SECOND_NS + self.chance.integers(0, PANE_S * SECOND_NS, many)
                self._serve(route, [shop.traces(many)], start_ns)

    def traces(self) -> bytes:
        """Return the spans of the pane."""
        return traces_request((self._resource(*key), b"".join(rows)) for key, rows in sorted(self._rows.items()))

    def logs(self) -> bytes:
        """Return its log records: a line for each tenth request, and those about errors."""
        request = ExportLogsServiceRequest()
        for service in sorted(self._answered):
            told = request.resource_logs.add()
            told.resource.attributes.extend(pairs({"service.name": service}))
            records = told.scope_logs.add().log_records
            for at_ns in self._answered[service][::10]:
                records.add(time_unix_nano=at_ns, severity_number=INFO, body=AnyValue(string_value="answered"))
            for at_ns, trace in self._errors[service]:
                line = ERROR_LINES[int(self.chance.integers(len(ERROR_LINES)))].format(self.chance.integers(1000))
                ids = bytes(8) + trace.to_bytes(8, "little")
                body = AnyValue(string_value=line)
                records.add(time_unix_nano=at_ns, severity_number=ERROR, body=body, trace_id=ids)
        return request.SerializeToString()

    def _resource(self, service: str, instance: int) -> dict[str, str]:
        name = f"{service}-{self.release}-{instance}"
        return {"service.name": service, "service.instance.id": name, "service.version": f"1.{self.release}"}

    def _serve(self, call: Call, above: list[Ints], start_ns: Ints) -> tuple[Ints, Flags]:
        """Add a request and those it makes, `above` being its trace and parent; return when it ends, and fails."""
        service, many = SERVICES[call.service], len(start_ns)
        at, own_ns = self.chance.integers(0, service.instances, many), self._took_ns(call.own_ms, service, many)
        failed = self.chance.random(many) < service.error_share
        span, clock_ns = self._ids(many), start_ns + own_ns // 2
        for below in call.calls:
            clock_ns, broke = self._call(call.service, at, below, [above[0], span], clock_ns)
            failed |= broke
        end_ns = clock_ns + own_ns // 2
        self._add(call.service, at, call.operation, SERVER, [above[0], span, *above[1:]], [start_ns, end_ns], failed)
        self._answered[call.service] += end_ns.tolist()
        logs = np.flatnonzero(failed | (self.chance.random(many) < service.log_share))
        self._errors[call.service] += zip(end_ns[logs].tolist(), above[0][logs].tolist(), strict=True)
        return end_ns, failed

    def _call(self, caller: str, at: Ints, call: Call, above: list[Ints], start_ns: Ints) -> tuple[Ints, Flags]:
        """Add the client's spans of a call, and what it calls unless that is a database."""
        span, many = self._ids(len(start_ns)), len(start_ns)
        if call.service:
            half_ns = self._took_ns(call.gap_ms, SERVICES[call.service], many) // 2
            served_ns, failed = self._serve(call, [above[0], span], start_ns + half_ns)
            end_ns = served_ns + half_ns
        else:
            end_ns, failed = start_ns + self._took_ns(call.own_ms, Service(), many), np.zeros(many, np.bool_)
        self._add(caller, at, call.operation, CLIENT, [above[0], span, above[1]], [start_ns, end_ns], failed)
        return end_ns, failed

    def _took_ns(self, median_ms: float, service: Service, many: int) -> Ints:
        took = median_ms * MS_NS * self.slower * self.chance.lognormal(0, service.spread, many)
        return np.where(self.chance.random(many) < service.slow_share, 10 * took, took).astype(np.int64)

    def _ids(self, many: int) -> Ints:
        return self.chance.integers(1, 2**62, many)

    def _add(
        self, service: str, at: Ints, name: str, kind: int, ids: list[Ints], times_ns: list[Ints], failed: Flags
    ) -> None:  # fmt: skip
        attributes = DATABASE if kind == CLIENT and name in QUERIES else {}
        for instance in np.unique(at).tolist():
            for is_failed in (False, True):
                rows = np.flatnonzero((at == instance) & (failed == is_failed))
                if rows.size:
                    told = [[column[rows] for column in columns] for columns in (ids, times_ns)]
                    self._rows[service, instance].append(span_rows(name, kind, *told, is_failed, attributes))
