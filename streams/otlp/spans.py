"""Decode a traces request into columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from schemas.errors import RejectReason
from streams.otlp.attributes import Names, read_attributes
from streams.otlp.columns import INT64_MAX, SPAN_DTYPES, PeerKind, Reject, Signal, SignedRows, SpanColumns, SpanFlag
from streams.otlp.lines import LineReader
from streams.otlp.peers import PEER_KEYS, peer_of
from streams.otlp.people import person_of
from streams.otlp.resources import check_caps, name_resource
from streams.otlp.slim import Status
from streams.otlp.wrong_signal import parse_as, refuse_other_signals

BAD_IDS = {
    1: "trace id is not 16 bytes, or zero",
    2: "span id is not 8 bytes, or zero",
    3: "parent span id is neither empty nor 8 bytes",
}
"""Why a span is rejected, by the numbers of `streams.kernels.spans`."""

_SERVER, _CLIENT = 2, 3
_STATUS_ERROR = 2
_PLAIN_ERROR = b"\x18\x02"


class _Rows:
    """Python lists of the raw fields, filled scope by scope."""

    def __init__(self) -> None:
        self.names = Names()
        self.trace_ids: list[bytes] = []
        self.span_ids: list[bytes] = []
        self.parent_ids: list[bytes] = []
        self.operations: list[int] = []
        self.kinds: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.errors: list[bool] = []
        self.peers: list[tuple[int, PeerKind, int]] = []
        self.events: list[tuple[int, bytes]] = []
        self.people: list[tuple[int, int]] = []
        self.resources: list[tuple[int, int, int, int]] = []
        self.resource_sizes: list[int] = []

    def add(self, spans: list[Any]) -> None:
        first = len(self.kinds)
        operation = self.names.of_bytes
        self.trace_ids += [span.trace_id for span in spans]
        self.span_ids += [span.span_id for span in spans]
        self.parent_ids += [span.parent_span_id for span in spans]
        self.operations += [operation(span.name) for span in spans]
        self.starts += [span.start_ns for span in spans]
        self.ends += [span.end_ns for span in spans]
        self.errors += [status != b"" and _is_error(status) for status in [span.status for span in spans]]
        self.events += [(first + place, raw) for place, span in enumerate(spans) for raw in span.events]
        kinds = [span.kind for span in spans]
        self.kinds += kinds
        for place, kind in enumerate(kinds):
            if kind >= _CLIENT or kind == 0:  # one without a kind may be calling (`streams.families`)
                self._add_peer(first + place, spans[place])
            if kind == _SERVER or not spans[place].parent_span_id:
                self._add_person(first + place, spans[place])

    def _add_peer(self, row: int, span: Any) -> None:
        kind, name = peer_of(read_attributes(span.attributes, PEER_KEYS))
        if kind:
            self.peers.append((row, kind, self.names.of_text(name)))

    def _add_person(self, row: int, span: Any) -> None:
        person = person_of(span.attributes)
        if person:
            self.people.append((row, person))


def _is_error(status: bytes) -> bool:
    if status == _PLAIN_ERROR:
        return True
    try:
        return bool(Status.FromString(status).code == _STATUS_ERROR)
    except DecodeError:
        return False


def decode_spans(payload: bytes) -> SpanColumns:
    """Decode an ``ExportTraceServiceRequest``; raises only `BadPayload`, and only for the whole message."""
    request = parse_as(Signal.TRACES, payload)
    rows = _Rows()
    counts = [sum(len(scope.spans) for scope in resource.scopes) for resource in request.resources]
    check_caps(counts)
    for resource, count in zip(request.resources, counts, strict=True):
        if count:
            rows.resources.append(name_resource(resource.resource, rows.names))
            rows.resource_sizes.append(count)
            for scope in resource.scopes:
                rows.add(list(scope.spans))
    columns, bad = _columns(rows)
    if len(bad) and bad.all():
        refuse_other_signals(Signal.TRACES, payload)
    columns.signed = _exceptions(rows, bad)
    return _counted(_keep(columns, ~bad) if bad.any() else columns, rows.names)


def _exceptions(rows: _Rows, bad: NDArray[np.bool_]) -> SignedRows:
    """Return the exceptions among the events of spans that are not bad; rows are counted without the bad ones."""
    reader, kept = LineReader(), np.cumsum(~bad) - 1
    for row, raw in rows.events:
        if not bad[row]:
            reader.add_event(int(kept[row]), raw, rows.trace_ids[row], rows.span_ids[row])
    return reader.rows()


def _counted(columns: SpanColumns, names: Names) -> SpanColumns:
    """Count the accepted spans whose names were repaired or cut."""
    columns.repaired = names.repaired(columns.operation)
    columns.truncated = names.truncated(
        columns.operation, columns.service, columns.instance, columns.version, columns.peer
    )
    return columns


def _columns(rows: _Rows) -> tuple[SpanColumns, NDArray[np.bool_]]:
    """Return all rows as columns, and which of them have unusable ids."""
    count = len(rows.kinds)
    trace = _ids(rows.trace_ids, 16, count)
    span_id = _ids(rows.span_ids, 8, count)[:, 0]
    parent_lengths = np.fromiter(map(len, rows.parent_ids), dtype=np.int64, count=count)
    bad_parent = (parent_lengths != 0) & (parent_lengths != 8)
    start_ns, start_clamped = _instants(rows.starts)
    end_ns, end_clamped = _instants(rows.ends)
    kind = np.array(rows.kinds, dtype=np.int32)
    unknown_kind = (kind < 0) | (kind > 5)
    flags = (start_clamped | end_clamped) * np.uint8(SpanFlag.CLAMPED)
    flags |= (end_ns < start_ns) * np.uint8(SpanFlag.NEGATIVE)
    flags |= unknown_kind * np.uint8(SpanFlag.UNKNOWN_KIND)
    peer = np.full(count, -1, dtype=np.int32)
    peer_kind = np.zeros(count, dtype=np.uint8)
    if rows.peers:
        places, kinds, indices = zip(*rows.peers, strict=True)
        peer[list(places)] = indices
        peer_kind[list(places)] = kinds
    person = np.zeros(count, dtype=np.uint64)
    for row, hashed in rows.people:
        person[row] = hashed
    resources = np.array(rows.resources, dtype=np.int32).reshape(-1, 4)
    service, instance, version, tier = np.repeat(resources, rows.resource_sizes, axis=0).T.copy()
    columns = SpanColumns(
        trace_hi=trace[:, 0],
        trace_lo=trace[:, 1],
        span_id=span_id,
        parent_id=_ids(rows.parent_ids, 8, count)[:, 0],
        service=service,
        operation=np.array(rows.operations, dtype=np.int32),
        instance=instance,
        version=version,
        peer=peer,
        peer_kind=peer_kind,
        kind=np.where(unknown_kind, 0, kind).astype(np.uint8),
        error=np.array(rows.errors, dtype=np.bool_),
        start_ns=start_ns,
        end_ns=end_ns,
        flags=flags,
        tier=tier.astype(np.uint8),
        person=person,
        names=rows.names.names,
    )
    bad_trace = (trace == 0).all(axis=1)
    bad_span = span_id == 0
    columns.rejects = [
        Reject(int(item), RejectReason.BAD_ID, detail)
        for mask, detail in (
            (bad_trace, BAD_IDS[1]),
            (bad_span & ~bad_trace, BAD_IDS[2]),
            (bad_parent & ~bad_span & ~bad_trace, BAD_IDS[3]),
        )
        for item in np.flatnonzero(mask)
    ]
    return columns, bad_trace | bad_span | bad_parent


def _ids(raws: list[bytes], size: int, count: int) -> NDArray[np.uint64]:
    """Return ids as rows of big-endian 64-bit halves; one of another length is all zero."""
    joined = b"".join(raws)
    if len(joined) != size * count or any(len(raw) != size for raw in raws):
        joined = b"".join([raw if len(raw) == size else bytes(size) for raw in raws])
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(count, size // 8)


def _instants(raws: list[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return instants as int64, and which were missing or beyond it."""
    instants = np.array(raws, dtype=np.uint64)
    clamped = (instants == 0) | (instants > INT64_MAX)
    return np.minimum(instants, np.uint64(INT64_MAX)).astype(np.int64), clamped


def _keep(columns: SpanColumns, mask: NDArray[np.bool_]) -> SpanColumns:
    kept = {name: getattr(columns, name)[mask] for name in SPAN_DTYPES}
    return SpanColumns(
        **kept,
        names=columns.names,
        signed=columns.signed,
        rejects=columns.rejects,
    )
