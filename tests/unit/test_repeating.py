"""What items share is stored with each of them: how much that is, is counted before a message is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.otlp.pieces import is_small, pieces_of
from api.otlp.signals import LOGS_SIGNAL, METRICS_SIGNAL, TRACES_SIGNAL
from api.otlp.signals import Signal as Door
from api.problems import Problem
from schemas.crowding import MOST_REPEATED_BYTES
from schemas.errors import BadPayload, RejectReason
from sinks.clickhouse.landing import RawRow
from streams.kernels.compiled import IS_COMPILED
from streams.otlp import Signal
from streams.otlp.repeating import LITTLE_BYTES, UNCOUNTED_BYTES, check_repeated, repeated_bytes
from streams.otlp.walker import SpanDecoder
from topologies.storing import MOST_RECORDS, runs_of

SIGNALS = [(Signal.TRACES, TRACES_SIGNAL), (Signal.LOGS, LOGS_SIGNAL), (Signal.METRICS, METRICS_SIGNAL)]


def shared(signal: Signal, items: int, shared_bytes: int) -> Any:
    """Return a request of so many items under one resource; of metrics they are points of one gauge."""
    request: Any
    held: Any
    if signal is Signal.TRACES:
        request = ExportTraceServiceRequest()
        held = request.resource_spans.add()
        scope = held.scope_spans.add()
        for number in range(items):
            scope.spans.add(trace_id=b"t" * 16, span_id=(number + 1).to_bytes(8, "big"))
    elif signal is Signal.LOGS:
        request = ExportLogsServiceRequest()
        held = request.resource_logs.add()
        scope = held.scope_logs.add()
        for number in range(items):
            scope.log_records.add(time_unix_nano=number + 1)
    else:
        request = ExportMetricsServiceRequest()
        held = request.resource_metrics.add()
        gauge = held.scope_metrics.add().metrics.add(name="queue").gauge
        for number in range(items):
            gauge.data_points.add(time_unix_nano=number + 1, as_int=1)
    held.resource.attributes.add(key="k").value.string_value = "v" * shared_bytes
    return request


@pytest.mark.parametrize(("signal", "door"), SIGNALS)
def test_a_resource_counts_once_for_each_item(signal: Signal, door: Door) -> None:
    """And for each scope and metric, which are rows on the way; items themselves count nothing."""
    payload = shared(signal, 100, 10_000).SerializeToString()
    assert 1_000_000 < repeated_bytes(signal, payload) < 1_040_000
    assert 10_000 <= repeated_bytes(signal, shared(signal, 0, 10_000).SerializeToString()) < 21_000


@pytest.mark.parametrize("signal", list(Signal))
def test_as_many_items_as_a_message_may_have_are_fine_under_an_ordinary_resource(signal: Signal) -> None:
    """50,000 with two kilobytes of attributes; what is around each item on the wire is not shared."""
    assert 100e6 < repeated_bytes(signal, shared(signal, 50_000, 2_000).SerializeToString()) < 105e6


def test_the_words_of_a_scope_and_of_a_metric_count_too() -> None:
    """Whatever is stored with each point: a description of 5 kB beside a scope of 3 kB."""
    request = shared(Signal.METRICS, 100, 10)
    scope = request.resource_metrics[0].scope_metrics[0]
    scope.scope.name, scope.metrics[0].description = "s" * 3_000, "d" * 5_000
    assert 800_000 < repeated_bytes(Signal.METRICS, request.SerializeToString()) < 812_000


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize(
    "before",
    [b"\x1b\x1c", b"\x1b" * 5 + b"\x1c" * 5, b"\x1b\x0a\x03abc\x1c", b"\x8a\x00\x00", b"\x18\x01"],
    ids=["a group", "groups in groups", "a list in a group", "a long tag", "an unknown field"],
)
def test_nothing_odd_hides_what_comes_after_it(signal: Signal, before: bytes) -> None:
    """Parsers pass over groups and unknown fields, so the count does."""
    payload = shared(signal, 100, 10_000).SerializeToString()
    assert repeated_bytes(signal, before + payload) == repeated_bytes(signal, payload)


def test_a_damaged_message_is_counted_as_far_as_it_goes() -> None:
    """It is refused for its damage."""
    payload = shared(Signal.TRACES, 100, 10_000).SerializeToString()
    for damaged in (payload[:-3], payload[:5_000], b"\x1b" * 2_000, b"\x1c" * 2_000, b"\xff" * 2_000):
        assert 0 <= repeated_bytes(Signal.TRACES, damaged) <= 1_050_000


def test_the_verdict_is_too_large_and_small_messages_are_not_looked_at() -> None:
    """What a message of a kilobyte can repeat is no danger."""
    assert repeated_bytes(Signal.TRACES, bytes([0x0A, 0]) * (UNCOUNTED_BYTES // 2 - 1)) == 0
    check_repeated(MOST_REPEATED_BYTES)
    with pytest.raises(BadPayload) as refused:
        check_repeated(MOST_REPEATED_BYTES + 1)
    assert refused.value.reason is RejectReason.TOO_LARGE


@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_decoder_of_spans_counts_the_same_on_its_way(is_compiled: bool) -> None:
    """Of several lists and scopes, empty ones too, of odd messages and of such that are decoded alone."""
    many = shared(Signal.TRACES, 100, 10_000)
    many.resource_spans.add().scope_spans.add().scope.name = "s" * 3_000
    more = many.resource_spans[0].scope_spans.add()
    more.scope.name = "t" * 5_000
    for _ in range(3):
        more.spans.add(trace_id=b"t" * 16)
    sound = many.SerializeToString()
    payloads = [sound, b"\x1b\x1c" + sound, b"\x18\x01" + sound, shared(Signal.TRACES, 5, 3_000).SerializeToString()]
    pieces = list(SpanDecoder(is_compiled and IS_COMPILED).decode(payloads))
    found = dict(pair for piece in pieces for pair in piece.repeated)
    counts = {number: repeated_bytes(Signal.TRACES, one) for number, one in enumerate(payloads)}
    assert {number: count for number, count in found.items() if count >= LITTLE_BYTES} == {
        number: count for number, count in counts.items() if count >= LITTLE_BYTES
    }
    assert found[0] > 103 * 10_000 + 3 * 5_000


@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_decoder_of_spans_refuses_what_would_unfold_to_too_much(is_compiled: bool) -> None:
    """And takes the messages around it."""
    sound, bomb = shared(Signal.TRACES, 5, 100), shared(Signal.TRACES, 2_000, 200_000)
    payloads = [one.SerializeToString() for one in (sound, bomb, sound)]
    pieces = list(SpanDecoder(is_compiled and IS_COMPILED).decode(payloads))
    refused = [(number, error.reason) for piece in pieces for number, error in piece.refused]
    assert refused == [(1, RejectReason.TOO_LARGE)]
    assert [number for piece in pieces for number in piece.messages] == [0, 2]


def cut(*repeated: int) -> list[int]:
    """Return how many rows each insert has."""
    rows = [RawRow("acme", 0, offset, b"x", 1, False, one) for offset, one in enumerate(repeated)]
    return [len(run) for run in runs_of(rows, 1 << 20)]


def test_an_insert_unfolds_no_more_than_one_message_may() -> None:
    """Messages that are each within the bound are not so together."""
    half = MOST_REPEATED_BYTES // 2
    assert cut(half, half, 1, half, half, half) == [2, 2, 2]
    assert cut(MOST_REPEATED_BYTES, MOST_REPEATED_BYTES) == [1, 1]
    assert cut(*[0] * (MOST_RECORDS + 1)) == [MOST_RECORDS, 1]
    assert cut() == []


@pytest.mark.parametrize(("signal", "door"), SIGNALS[:2])
def test_the_front_door_cuts_what_would_unfold_to_too_much(signal: Signal, door: Door) -> None:
    """200 kB that 2,000 items share are 400 MB: two records, with all items in them."""
    request = door.lenient.FromString(shared(signal, 2_000, 200_000).SerializeToString())
    assert not is_small(request, len(request.SerializeToString()), 2_000, door)
    records = pieces_of(request, door)
    assert [repeated_bytes(signal, record) <= MOST_REPEATED_BYTES for record in records] == [True, True]
    assert sum(_items(door, record) for record in records) == 2_000


def test_the_front_door_refuses_a_metric_whose_points_share_too_much() -> None:
    """A metric is not cut: 413. One with fewer points is a small request."""
    door = METRICS_SIGNAL
    request = door.lenient.FromString(shared(Signal.METRICS, 2_000, 200_000).SerializeToString())
    with pytest.raises(Problem) as refused:
        pieces_of(request, door)
    assert refused.value.slug.status == 413
    fewer = door.lenient.FromString(shared(Signal.METRICS, 1_300, 200_000).SerializeToString())
    assert is_small(fewer, len(fewer.SerializeToString()), 1_300, door)


def _items(door: Door, record: bytes) -> int:
    scopes: Sequence[Any] = getattr(
        getattr(door.lenient.FromString(record), door.resources_field)[0], door.scopes_field
    )
    return sum(len(getattr(scope, door.items_field)) for scope in scopes)
