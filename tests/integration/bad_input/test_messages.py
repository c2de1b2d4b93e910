"""Rows 1 to 7 and 24 of the catalogue of bad input: whole messages, through Kafka and a running worker."""

from __future__ import annotations

import gzip
import hashlib
import json
import random

import pytest
import zstandard
from aiokafka import AIOKafkaProducer
from google.protobuf.json_format import MessageToDict
from house import House
from live_worker import eventually
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from payloads import logs, metric, spans

from schemas.dead_letters import UNKNOWN_TENANT
from schemas.errors import Conflict
from schemas.keys import TENANT_HEADER
from schemas.topics import LOGS, METRICS, TRACES
from sinks.kafka.unpacking import MOST_BATCH_BYTES
from sinks.replaying import Sender, replay_letter

GOOD = spans({}).SerializeToString()
pytestmark = pytest.mark.timeout(400)


async def test_row_1_random_truncated_and_flipped_bytes_are_letters_or_items(house: House) -> None:
    """Every message is stored or a letter; the good one beside them is stored."""
    dice = random.Random(1)
    flipped = []
    for _ in range(20):
        bits = bytearray(GOOD)
        bits[dice.randrange(len(bits))] ^= 1 << dice.randrange(8)
        flipped.append(bytes(bits))
    await house.send(TRACES.name, b"\xff" + dice.randbytes(300), GOOD[:-3], GOOD)
    assert await house.reasons(2) == ["decode", "decode"]
    await house.rows("spans", 1)
    await house.send(TRACES.name, *flipped, spans({"name": "last"}).SerializeToString())

    async def handled() -> int:
        landed = await house.stores.clickhouse.command(
            f"SELECT uniqExact(kafka_offset) FROM landed_records WHERE tenant = '{house.tenant}'"
        )
        return int(landed) + sum(one.letter.item == -1 for one in await house.letters_now())

    await eventually(handled, 3 + len(flipped) + 1)


async def test_row_2_each_signal_on_each_other_topic_is_named(house: House) -> None:
    """A parse proves nothing: a logs request parses as one odd span."""
    requests = {
        TRACES.name: GOOD,
        LOGS.name: logs({"trace_id": b"t" * 16}).SerializeToString(),
        METRICS.name: metric("gauge", {"as_int": 1}).SerializeToString(),
    }
    for topic in requests:
        await house.send(topic, *(value for other, value in requests.items() if other != topic))
    assert await house.reasons(6) == ["wrong_signal"] * 6


async def test_row_3_json_is_recognised_by_its_first_byte(house: House) -> None:
    """Ids are hexadecimal there."""
    document = MessageToDict(ExportTraceServiceRequest.FromString(GOOD))
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["traceId"], span["spanId"] = "ab" * 16, "cd" * 8
    await house.send(TRACES.name, json.dumps(document).encode())
    (row,) = await house.rows("spans", 1, "trace_id_hex, span_id_hex")
    assert row == {"trace_id_hex": "ab" * 16, "span_id_hex": "cd" * 8}


async def test_rows_4_and_5_packed_payloads_are_opened_within_bounds(house: House) -> None:
    """gzip and zstd are stored; a bomb is stopped at the bound and kept."""
    bombs = gzip.compress(bytes(100 * 1024 * 1024), 9), zstandard.compress(bytes(100 * 1024 * 1024))
    await house.send(TRACES.name, gzip.compress(GOOD), zstandard.compress(GOOD), *bombs, gzip.compress(GOOD)[:-8])
    await house.rows("spans", 2)
    assert await house.reasons(3) == ["too_large", "too_large", "decode"]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
async def test_row_5_a_batch_that_is_a_bomb_is_a_letter_and_the_others_are_stored(house: House, codec: str) -> None:
    """Kafka's own packing, which is undone before anybody sees a record: nobody knows whose it was."""
    unknown = house.of_tenant(UNKNOWN_TENANT)
    before = len(await unknown.letters_now())
    producer = AIOKafkaProducer(
        bootstrap_servers=house.settings.kafka_brokers, compression_type=codec, max_request_size=1 << 28
    )
    async with producer:
        headers = [(TENANT_HEADER, house.tenant.encode())]
        for value in (GOOD, bytes(MOST_BATCH_BYTES), GOOD):
            await producer.send_and_wait(TRACES.name, value, partition=0, headers=headers)
    await house.rows("spans", 2)
    (*_, letter) = await unknown.letters(before + 1)
    assert (letter.letter.reason, letter.letter.payload_bytes) == ("too_large", 0)
    sender = Sender(house.settings, house.stores.postgres, house.stores.producer)
    with pytest.raises(Conflict, match="no value"):
        await replay_letter(sender, letter, 0)


async def test_row_6_large_garbage_keeps_its_hash_and_beginning(house: House) -> None:
    """As large as the topic takes; the letter is far below a record."""
    garbage = b"\xff" * 4_000_000
    await house.send(TRACES.name, garbage)
    (stored,) = await house.letters(1)
    assert (stored.letter.payload_bytes, stored.letter.payload_truncated) == (len(garbage), True)
    assert stored.letter.payload_sha256 == hashlib.sha256(garbage).hexdigest()
    assert len(stored.letter.model_dump_json()) < 1_000_000


async def test_row_7_nothing_is_fine_and_too_much_is_refused(house: House) -> None:
    """An empty body and 200,000 empty resources have no items; 50,001 items and 1,001 resources are too many."""
    resources = ExportTraceServiceRequest()
    for _ in range(1_001):
        resources.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    many = ExportTraceServiceRequest()
    many.resource_spans.add().scope_spans.add().ParseFromString(b"\x12\x00" * 50_001)
    values = (b"", b"\x0a\x00" * 200_000, many.SerializeToString(), resources.SerializeToString(), GOOD)
    await house.send(TRACES.name, *values)
    assert await house.reasons(2) == ["too_many_items", "too_many_items"]
    await house.rows("spans", 1)


async def test_row_7_what_a_message_unfolds_to_is_bounded_for_every_signal(house: House) -> None:
    """1,200 items share 240 kB, which are stored with each: a letter, in no table and no window; the next is stored."""
    requests = {
        TRACES.name: spans(*({"name": "bomb"} for _ in range(1_200)), service="bomb"),
        LOGS.name: logs(*({} for _ in range(1_200))),
        METRICS.name: metric("gauge", *({"as_int": 1} for _ in range(1_200))),
    }
    for topic, request in requests.items():
        (field,) = request.DESCRIPTOR.fields
        (held,) = getattr(request, field.name)
        for number in range(120):
            held.resource.attributes.add(key=f"k{number}").value.string_value = "v" * 2_000
        await house.send(topic, request.SerializeToString())
    assert await house.reasons(3) == ["too_large"] * 3
    await house.send(TRACES.name, GOOD)
    await house.rows("spans", 1)
    assert await house.rows("service_panes FINAL", 1, "service", "service", "requests > 0") == [{"service": "cart"}]
    assert await house.rows("logs", 0) == await house.rows("metric_points", 0) == []


async def test_row_24_the_tenant_is_the_headers_and_never_the_payloads(house: House) -> None:
    """None, a senseless one or two are the default tenant's (a setting); what the payload claims is an attribute."""
    claiming = spans({}, service="claims")
    claim = claiming.resource_spans[0].resource.attributes.add(key="x-tenant-id")
    claim.value.string_value = "evil"
    claiming.resource_spans[0].scope_spans[0].spans[0].name = house.tenant
    value = claiming.SerializeToString()
    for headers in ((), ((TENANT_HEADER, b"\xff\xfe"),), ((TENANT_HEADER, b"a"), (TENANT_HEADER, b"b"))):
        await house.send(TRACES.name, value, headers=headers)
    default = house.of_tenant(house.settings.default_tenant)
    rows = await default.rows("spans", 3, "name, service")
    assert rows == [{"name": house.tenant, "service": "claims"}] * 3
    assert await house.of_tenant("evil").rows("spans", 0) == []
