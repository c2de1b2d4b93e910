"""Damaged requests: each insert is stored whole or refused whole, under the right tenant, and the engine lives on."""

from __future__ import annotations

import random

import pytest
from otlp_examples import ARRIVAL_NS, EVERY_TYPE, gauges, logs, pairs, spans

from schemas.errors import StoreRejected
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.framing import varint
from sinks.clickhouse.landing import RawRow, RawSink

ROUNDS = 120
SEED = 20260523


def examples() -> dict[str, bytes]:
    """Return a request of each signal with a bit of everything."""
    traces, records, points = spans(3), logs(3), gauges(3)
    traces.resource_spans[0].scope_spans[0].spans[0].attributes.extend(pairs(EVERY_TYPE))
    records.resource_logs[0].scope_logs[0].log_records[0].attributes.extend(pairs(EVERY_TYPE))
    points.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].attributes.extend(pairs(EVERY_TYPE))
    requests = {"otel.traces": traces, "otel.logs": records, "otel.metrics": points}
    return {topic: request.SerializeToString() for topic, request in requests.items()}


def damaged(value: bytes, chance: random.Random) -> bytes:
    """Flip bits, cut, repeat or insert a piece."""
    data = bytearray(value)
    at = chance.randrange(len(data))
    match chance.randrange(4):
        case 0:
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 1:
            del data[at:]
        case 2:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        case 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 12))
    return bytes(data)


@pytest.mark.parametrize("topic", examples())
@pytest.mark.parametrize("sent_to", examples())
async def test_damaged_and_foreign_requests_do_no_harm(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str, sent_to: str
) -> None:
    """Of each signal on each topic. What is refused leaves no trace; what is stored belongs to its tenant."""
    chance = random.Random(f"{SEED}{topic}{sent_to}")
    rounds = ROUNDS if topic == sent_to else 6
    stored = 0
    for offset in range(rounds):
        value = damaged(examples()[topic], chance)
        try:
            await sink.insert(sent_to, [RawRow(tenant, 0, offset, value, ARRIVAL_NS)])
            stored += 1
        except StoreRejected:
            pass
    rows = await clickhouse.query(
        "SELECT count() AS records, uniqExact(kafka_offset) AS offsets FROM landed_records"
        " WHERE tenant = {t:String}", {"t": tenant},
    )  # fmt: skip
    assert rows == [{"records": stored, "offsets": stored}]
    total = await clickhouse.query(
        "SELECT uniqExact(tenant) AS n FROM landed_records WHERE NOT match(tenant, '^(tenant-|bare)')"
    )
    assert total == [{"n": 0}]


@pytest.mark.parametrize("claimed", [100, 2**20, 2**31, 2**33, 2**42, 2**62, 2**64 - 1])
async def test_a_length_that_lies_is_a_bad_row_and_not_a_store_that_is_away(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, claimed: int
) -> None:
    """ClickHouse makes room for as many bytes as an attribute claims; that must not be tried again for ever."""
    lie = b"\x4a" + varint(len(varint(claimed)) + 3) + b"\x0a" + varint(claimed) + b"ab"
    span = b"\x0a\x10" + bytes(range(1, 17)) + b"\x12\x08" + bytes(range(1, 9)) + lie
    for number in (b"\x12", b"\x12", b"\x0a"):  # Span in ScopeSpans in ResourceSpans in the request
        span = number + varint(len(span)) + span
    with pytest.raises(StoreRejected):
        await sink.insert("otel.traces", [RawRow(tenant, 0, 0, span, ARRIVAL_NS)])
