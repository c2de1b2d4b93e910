"""Row 25 of the catalogue of bad input: what stands around a message, a Kafka record's key, headers and timestamp."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from house import House
from payloads import SECOND_NS, logs, metric, spans

from schemas.dead_letters import REPLAY_HEADER, UNKNOWN_TENANT, LetterKey, Replay
from schemas.keys import TENANT_HEADER, TICK_HEADER
from schemas.topics import LOGS, METRICS, TRACES
from sinks.kafka.unpacking import MOST_BATCH_BYTES
from topologies import metrics

GARBAGE = b"\xff" * 9
GOOD = spans({}).SerializeToString()
FOREVER_MS, NONE_MS, LONG_AGO_MS = 2**62, -1, -(2**62)
"""Beyond int64 in nanoseconds, as -2^62 is on the other side."""
ODD_MS = (FOREVER_MS, 2**63 - 1, NONE_MS, 0, 1_800_000_000, -(2**40), LONG_AGO_MS)
pytestmark = pytest.mark.timeout(400)


async def put_oddly(house: House, topic: str, values: Sequence[bytes]) -> None:
    """Send records of the tenant, one with each odd timestamp."""
    headers = [(TENANT_HEADER, house.tenant.encode())]
    async with AIOKafkaProducer(bootstrap_servers=house.settings.kafka_brokers) as producer:
        for value, at_ms in zip(values, ODD_MS, strict=True):
            await producer.send_and_wait(topic, value, partition=0, timestamp_ms=at_ms, headers=headers)


async def test_odd_records_stop_nothing(house: House) -> None:
    """A null value is a letter; a huge key and no headers but the tenant's are taken."""
    await house.send(TRACES.name, None)
    await house.send(TRACES.name, GOOD, key=b"k" * 500_000)
    assert await house.reasons(1) == ["null_value"]
    await house.rows("spans", 1)


@pytest.mark.parametrize(
    ("topic", "table", "value"),
    [
        (TRACES.name, "spans", GOOD),
        (LOGS.name, "logs", logs({"body": {"string_value": "x"}}).SerializeToString()),
        (METRICS.name, "metric_points", metric("gauge", {"as_int": 1}).SerializeToString()),
    ],
    ids=[TRACES.name, LOGS.name, METRICS.name],
)
async def test_a_timestamp_that_is_no_time_is_the_present(house: House, topic: str, table: str, value: bytes) -> None:
    """Far past, none, seconds for milliseconds, far future: stored as of now, a letter as of now, and counted."""
    clamped = metrics.CLAMPED_ARRIVALS.labels(topic)
    before, began = clamped._value.get(), datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1)
    for odd in (value, GARBAGE):
        await put_oddly(house, topic, [odd] * len(ODD_MS))
    rows = await house.rows(table, len(ODD_MS), "arrival_time, marks", order="kafka_offset")
    assert not any(row["marks"] & 1 for row in rows)  # their items' times fit their arrival: in their windows
    assert all(timedelta(0) < row["arrival_time"] - began < timedelta(minutes=3) for row in rows)
    letters = await house.letters(len(ODD_MS))
    assert all(abs(time.time_ns() - letter.letter.first_seen_ns) < 180 * SECOND_NS for letter in letters)
    assert clamped._value.get() - before >= 2 * len(ODD_MS)


async def test_a_record_that_is_marked_as_a_tick_and_has_a_value_is_a_record(house: House) -> None:
    """A header costs nobody a record: good ones are stored, bad ones are letters."""
    marked = [(TENANT_HEADER, house.tenant.encode()), (TICK_HEADER, b"1")]
    await house.send(TRACES.name, b"", GOOD, GARBAGE, headers=marked)
    assert await house.reasons(1) == ["decode"]
    await house.rows("spans", 1)


async def test_a_forged_replay_header_takes_no_letter_of_nobody_away(house: House) -> None:
    """Both are kept: that of nobody, and that of the tenant who named it, under its own place."""
    unknown = house.of_tenant(UNKNOWN_TENANT)
    before = len(await unknown.letters_now())
    producer = AIOKafkaProducer(
        bootstrap_servers=house.settings.kafka_brokers, compression_type="gzip", max_request_size=1 << 28
    )
    async with producer:  # a batch that is not unpacked: nobody knows whose
        await producer.send_and_wait(LOGS.name, bytes(MOST_BATCH_BYTES), partition=0)
    (*_, lost) = await unknown.letters(before + 1)
    named = Replay(LetterKey.parse(lost.letter.key), 1, lost.letter.first_seen_ns)
    forged = [(TENANT_HEADER, house.tenant.encode()), (REPLAY_HEADER, named.encode())]
    await house.send(LOGS.name, GARBAGE, headers=forged)
    (own,) = await house.letters(1)
    assert (own.letter.attempt, own.letter.key != lost.letter.key) == (0, True)
    assert lost in await unknown.letters_now()


@pytest.mark.long
async def test_what_only_clickhouse_refuses_is_a_letter_however_much_it_is(house: House) -> None:
    """One tenant's messages stop nobody; those of another are stored meanwhile. Each refusal costs seconds."""
    clickhouse, honest = house.stores.clickhouse, house.of_tenant(f"{house.tenant}-honest")
    await honest.send(TRACES.name, GOOD)
    await honest.rows("spans", 1)
    await clickhouse.command("CREATE TABLE picky (n UInt8) ENGINE = Memory")
    await clickhouse.command(
        f"CREATE MATERIALIZED VIEW picky_view TO picky AS SELECT toUInt8(if(tenant = '{house.tenant}', 'x', '1')) AS n"
        " FROM flat_spans"
    )
    try:
        await house.send(TRACES.name, *[GOOD] * 17)
        await honest.send(TRACES.name, GOOD)
        assert {(one.letter.reason.value, one.letter.detail) for one in await house.letters(17)} == {
            ("decode", "ClickHouse refuses the payload")
        }
        await honest.rows("spans", 2)
    finally:
        await clickhouse.command("DROP VIEW picky_view")
        await clickhouse.command("DROP TABLE picky")
