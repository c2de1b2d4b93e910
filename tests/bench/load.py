"""A seeded load of real-looking traces, as many messages as one likes.

Requests go through twenty services: server, client, internal and database spans with twelve attributes each, about
514 bytes a span, latencies log-normal by operation. A message holds spans that ended one after the other, by service,
as a Collector's batch does. Some thousand spans are made with protobuf; all others are these with other ids and later
times, patched into the bytes, so that millions of spans cost little.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

BEGIN_NS = 1_780_000_000_000_000_000
SPANS_PER_S = 50_000
"""In event time: so many spans end in a second of the load."""

SERVICES = 20
OPERATIONS = 8
"""Of each service."""

_INTERNAL, _SERVER, _CLIENT = 1, 2, 3


@dataclass(frozen=True)
class _Made:
    """A span of the load: its bytes, where in them the patched fields are, and what it is sorted by."""

    service: int
    end_ns: int
    raw: bytes
    ids_at: tuple[int, ...]
    times_at: tuple[int, ...]


@dataclass(frozen=True)
class Template:
    """A message to be patched: ``ids_at`` and ``times_at`` are the places of its 8-byte ids and times."""

    raw: NDArray[np.uint8]
    ids_at: NDArray[np.int64]
    times_at: NDArray[np.int64]


class TraceLoad:
    """Messages of ``spans`` spans each; ``message(i)`` is the same bytes in every process."""

    def __init__(self, spans: int = 500, templates: int = 20, seed: int = 7) -> None:
        self.spans = spans
        chance = random.Random(seed)
        made: list[_Made] = []
        while len(made) < spans * templates:
            made += _Request(chance, BEGIN_NS + len(made) * 1_000_000_000 // SPANS_PER_S).spans()
        made.sort(key=lambda span: span.end_ns)
        self._templates = [_template(made[i * spans : (i + 1) * spans]) for i in range(templates)]
        self._round_ns = spans * templates * 1_000_000_000 // SPANS_PER_S

    def message(self, number: int) -> bytes:
        """Return one ``ExportTraceServiceRequest``."""
        turn, place = divmod(number, len(self._templates))
        template = self._templates[place]
        raw = template.raw.copy()
        key = np.frombuffer(random.Random(turn).randbytes(8) if turn else bytes(8), dtype=np.uint8)
        eight = np.arange(8)
        raw[template.ids_at[:, None] + eight] ^= key
        places = template.times_at[:, None] + eight
        times = raw[places].copy().view("<u8") + np.uint64(turn * self._round_ns)
        raw[places] = times.view(np.uint8).reshape(-1, 8)
        return raw.tobytes()

    def messages(self, count: int, first: int = 0) -> list[bytes]:
        """Return some messages, one after the other in time."""
        return [self.message(number) for number in range(first, first + count)]

    def arrival_ns(self, number: int) -> int:
        """Return when a message arrives: half a second after its spans have ended."""
        return BEGIN_NS + (number + 1) * self.spans * 1_000_000_000 // SPANS_PER_S + 500_000_000

    @cached_property
    def bytes_a_span(self) -> float:
        """Size of the messages by their spans."""
        return sum(len(template.raw) for template in self._templates) / self.spans / len(self._templates)


class _Request:
    """One request through the services: a tree of spans."""

    def __init__(self, chance: random.Random, start_ns: int) -> None:
        self._chance = chance
        self._trace_id = chance.randbytes(16)
        self._spans: list[_Made] = []
        self._serve(chance.randrange(3), b"", start_ns, 0)

    def spans(self) -> list[_Made]:
        """Return its spans in no particular order."""
        return self._spans

    def _serve(self, service: int, parent: bytes, start_ns: int, depth: int) -> int:
        """Let a service answer a call that begins at ``start_ns``; return when it has."""
        chance, own = self._chance, self._chance.randbytes(8)
        operation = chance.randrange(OPERATIONS)
        clock_ns = start_ns + self._took_ns(service, operation)
        if depth < 3:
            for _ in range(chance.randrange(1, 3)):
                clock_ns = self._call(service, own, clock_ns, depth)
        inner = chance.randbytes(8)
        self._add(service, inner, own, f"render {operation}", _INTERNAL, clock_ns, clock_ns + 200_000)
        database, took_ns = chance.randbytes(8), self._took_ns(service, operation) // 4
        self._add(service, database, own, f"SELECT shop.table_{operation}", _CLIENT, clock_ns, clock_ns + took_ns)
        end_ns = clock_ns + took_ns + 200_000
        self._add(service, own, parent, f"GET /api/v1/resource-{operation}/{{id}}", _SERVER, start_ns, end_ns)
        return end_ns

    def _call(self, service: int, parent: bytes, clock_ns: int, depth: int) -> int:
        callee, own = (service * 3 + self._chance.randrange(1, 4)) % SERVICES, self._chance.randbytes(8)
        end_ns = self._serve(callee, own, clock_ns + 300_000, depth + 1) + 300_000
        self._add(service, own, parent, "GET", _CLIENT, clock_ns, end_ns)
        return end_ns

    def _took_ns(self, service: int, operation: int) -> int:
        return int(2_000_000 * (1 + (service * 7 + operation * 3) % 11) * self._chance.lognormvariate(0, 0.3))

    def _add(self, service: int, own: bytes, parent: bytes, name: str, kind: int, start_ns: int, end_ns: int) -> None:
        failed = kind == _SERVER and self._chance.random() < 0.01
        span = Span(
            trace_id=self._trace_id, span_id=own, parent_span_id=parent, name=name, kind=kind,
            start_time_unix_nano=start_ns, end_time_unix_nano=end_ns,
            attributes=_database(self._chance) if name.startswith("SELECT") else _web(self._chance),
            status=Status(code=2) if failed else None,
        )  # fmt: skip
        times_at = 28 + (10 if parent else 0) + 2 + len(name) + 2 + 1
        ids_at = (2, 10, 20) + ((30,) if parent else ())
        self._spans.append(_Made(service, end_ns, span.SerializeToString(), ids_at, (times_at, times_at + 9)))


def _pairs(text: dict[str, str], numbers: dict[str, int]) -> list[KeyValue]:
    pairs = [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in text.items()]
    return pairs + [KeyValue(key=key, value=AnyValue(int_value=value)) for key, value in numbers.items()]


def _web(chance: random.Random) -> list[KeyValue]:
    """Return twelve attributes of a web request."""
    text = {
        "http.request.method": "GET", "url.path": f"/api/v1/products/{chance.randrange(1000)}", "url.scheme": "http",
        "server.address": "shop.internal.example", "client.address": f"10.0.0.{chance.randrange(256)}",
        "network.protocol.version": "1.1", "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "app.session.id": f"{chance.getrandbits(96):024x}", "app.feature.flag": f"variant-{chance.randrange(4)}",
    }  # fmt: skip
    return _pairs(text, {"http.response.status_code": 200, "server.port": 8080, "thread.id": chance.randrange(10**6)})


def _database(chance: random.Random) -> list[KeyValue]:
    """Return twelve attributes of a query."""
    text = {
        "db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": "SELECT",
        "db.collection.name": f"table_{chance.randrange(8)}", "server.address": "postgres.internal.example",
        "db.query.text": "SELECT id, name, price, stock FROM products WHERE id = $1 AND tenant = $2 LIMIT 10",
        "app.session.id": f"{chance.getrandbits(96):024x}", "app.pool.name": "primary-read-write", "peer.zone": "b",
    }  # fmt: skip
    return _pairs(text, {"server.port": 5432, "db.rows": chance.randrange(9), "thread.id": chance.randrange(10**6)})


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _field(number: int, value: bytes) -> bytes:
    """Return the tag and the length that come before a value."""
    return _varint(number << 3 | 2) + _varint(len(value))


def _resource(service: int) -> bytes:
    text = {
        "service.name": f"service-{service:02d}", "service.version": "1.2.3", "deployment.environment.name": "prod",
        "service.instance.id": f"service-{service:02d}-7d9f8b6c5-x{service}", "telemetry.sdk.language": "python",
    }  # fmt: skip
    value = Resource(attributes=_pairs(text, {"process.pid": 17})).SerializeToString()
    return _field(1, value) + value


_SCOPE = InstrumentationScope(name="opentelemetry.instrumentation.fastapi", version="0.57b0").SerializeToString()


def _template(spans: list[_Made]) -> Template:
    """Put spans into a message, by service, and note where their ids and times are."""
    raw, ids_at, times_at = bytearray(), list[int](), list[int]()
    for service in sorted({span.service for span in spans}):
        own = [span for span in spans if span.service == service]
        heads = [_field(2, span.raw) for span in own]
        scope = _field(1, _SCOPE) + _SCOPE
        scope_bytes = len(scope) + sum(len(head) + len(span.raw) for head, span in zip(heads, own, strict=True))
        resource = _resource(service)
        scope_head = _varint(2 << 3 | 2) + _varint(scope_bytes)
        raw += _varint(1 << 3 | 2) + _varint(len(resource) + len(scope_head) + scope_bytes)
        raw += resource + scope_head + scope
        for head, span in zip(heads, own, strict=True):
            raw += head
            ids_at += [len(raw) + place for place in span.ids_at]
            times_at += [len(raw) + place for place in span.times_at]
            raw += span.raw
    return Template(np.frombuffer(bytes(raw), np.uint8), np.array(ids_at), np.array(times_at))
