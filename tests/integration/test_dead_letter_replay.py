"""Dead letters through a real worker: kept, shown, and sent again after a fix, each stored once."""

from __future__ import annotations

import time
from typing import Any

import pytest
from faust.types import TP
from live_worker import eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import SECOND_NS, add_purchase

from schemas.dead_letters import REPLAY_HEADER, LetterKey, Replay
from schemas.errors import Conflict
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.postgres import dead_letters
from sinks.postgres.dead_letters import LetterFilter, LetterState, StoredLetter
from sinks.replaying import Sender, replay_letter
from sinks.stores import Stores

SMALL_CAP_BYTES = 2_000
SOON = {"lateness_s": 5.0, "pair_wait_s": 1.0, "settle_s": 0.5}
"""Panes close, and so offsets are committed, within seconds."""
ACME = ((TENANT_HEADER, b"acme"),)
INGEST_IDS = "uniqExact(kafka_partition, kafka_offset, item)"
"""A record that is read again after a restart lands under its own ids once more; one sent twice would have others."""


def purchases(first: int, count: int, note: str = "") -> bytes:
    """Return a request of ``count`` traces of four spans each, with a note on every span."""
    request, start_ns = ExportTraceServiceRequest(), time.time_ns() - 5 * SECOND_NS
    for trace in range(first, first + count):
        add_purchase(request, trace, start_ns)
    for resource in request.resource_spans:
        for span in resource.scope_spans[0].spans:
            attribute = span.attributes.add()
            attribute.key, attribute.value.string_value = "note", note
    return request.SerializeToString()


def one_bad_id(trace: int) -> bytes:
    """Return a request of four spans, one of which has half a span id."""
    request = ExportTraceServiceRequest.FromString(purchases(trace, 1))
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b"half"
    return request.SerializeToString()


async def letters(stores: Stores, state: LetterState | None = None) -> list[StoredLetter]:
    """Return the tenant's letters, oldest record first."""
    found = await dead_letters.page(stores.postgres, LetterFilter("acme", state=state), limit=100)
    return sorted(found, key=lambda stored: (stored.letter.partition, stored.letter.offset))


async def count(stores: Stores, what: str = "count()") -> int:
    """Count spans as ClickHouse has them."""
    return int(await stores.clickhouse.command(f"SELECT {what} FROM spans WHERE tenant = 'acme'"))


@pytest.mark.timeout(600)
async def test_replay_after_a_fix_stores_everything_once(broker: Settings) -> None:
    """A cap that is too small refuses two of three messages, one beyond what a letter keeps; raised, all is there."""
    settings = quick(broker).model_copy(update={"session_timeout_s": 6.0, **SOON})
    sent = [
        (purchases(0, 1), 4),
        (purchases(100, 10), 40),
        (purchases(200, 60, "long " * 100), 240),
        (one_bad_id(500), 3),
    ]
    assert len(sent[2][0]) > 65_536
    async with running(settings.model_copy(update={"max_unpacked_bytes": SMALL_CAP_BYTES})) as (stores, worker):
        for value, _ in sent:
            await stores.producer.send(TRACES.name, value, headers=ACME, partition=0)
        await stores.producer.send(TRACES.name, None, b"key", headers=ACME, partition=0)
        await eventually(lambda: _letter_count(stores), 4)
        await eventually(lambda: count(stores), 7)
        kept = await letters(stores)
        assert [stored.letter.reason for stored in kept] == ["too_large", "too_large", "bad_id", "null_value"]
        assert [stored.letter.payload_truncated for stored in kept] == [False, True, False, False]
        assert [stored.letter.item for stored in kept] == [-1, -1, 0, -1]
        # What is read again after the restart would be judged anew, by the larger cap, and be there beside its replay.
        await eventually(lambda: _is_committed(worker.app, end=len(sent) + 1), 1, patience_s=300.0)
    async with running(settings) as (stores, _):
        sender = Sender(settings, stores.postgres, stores.producer)
        acks = [await replay_letter(sender, stored, time.time_ns()) for stored in kept[:2]]
        with pytest.raises(Conflict, match="replayed already"):
            await replay_letter(sender, (await letters(stores))[0], time.time_ns())
        for stored in kept[:2]:  # a crash between sending and noting: the same is sent again
            again = Replay(LetterKey.parse(stored.letter.key), 1, stored.letter.first_seen_ns)
            value = sent[1][0] if stored is kept[0] else sent[2][0]
            headers = ((REPLAY_HEADER, again.encode()), *ACME)
            await stores.producer.send(TRACES.name, value, headers=headers, partition=1)
        await stores.producer.send(TRACES.name, purchases(900, 1), headers=ACME, partition=1)
        everything = sum(spans for _, spans in sent) + 4
        await eventually(lambda: count(stores, INGEST_IDS), everything)
        assert await count(stores, "uniqExact(trace_id, span_id)") == everything
        replayed = await letters(stores, LetterState.REPLAYED)
        assert [(one.replayed_partition, one.replayed_offset) for one in replayed] == [
            (ack.partition, ack.offset) for ack in acks
        ]
        first_seen_ns = {stored.letter.first_seen_ns for stored in kept[:2]}
        arrivals = await stores.clickhouse.query(
            "SELECT DISTINCT toUnixTimestamp64Nano(arrival_time) AS at FROM spans WHERE tenant = 'acme'"
        )
        assert first_seen_ns <= {row["at"] for row in arrivals}, "a replay has the arrival of its original"


@pytest.mark.timeout(400)
async def test_item_that_is_refused_again_is_the_same_letter_and_its_neighbours_are_not_stored_twice(
    own_broker: Settings,
) -> None:
    """Three good spans stay three; the letter is open again with the next attempt, and has one item."""
    settings = quick(own_broker)
    async with running(settings) as (stores, worker):
        sent = await stores.producer.send(TRACES.name, one_bad_id(7), headers=ACME, partition=0)
        await eventually(lambda: _letter_count(stores), 1)
        sender = Sender(settings, stores.postgres, stores.producer)
        for attempt in (1, 2):
            (stored,) = await letters(stores, LetterState.OPEN)
            await replay_letter(sender, stored, time.time_ns())
            await eventually(lambda reached=attempt: _attempts(stores, reached), 1)
        (stored,) = await letters(stores)
        assert (stored.letter.reason, stored.letter.item, stored.letter.offset) == ("bad_id", 0, sent.offset)
        await eventually(lambda: count(stores), 3)
        assert worker.app.failure is None


@pytest.mark.timeout(400)
async def test_header_that_names_another_tenants_letter_means_nothing(own_broker: Settings) -> None:
    """A tenant can neither mark nor overwrite what is not its own: its record is taken as any other."""
    settings = quick(own_broker)
    async with running(settings) as (stores, _):
        await stores.producer.send(TRACES.name, b"\xff garbage", headers=ACME, partition=0)
        await eventually(lambda: _letter_count(stores), 1)
        (stored,) = await letters(stores)
        claim = Replay(LetterKey.parse(stored.letter.key), 1, 1).encode()
        forged = ((REPLAY_HEADER, claim), (TENANT_HEADER, b"evil"))
        await stores.producer.send(TRACES.name, purchases(0, 1), headers=forged, partition=0)
        await stores.producer.send(TRACES.name, b"\xff other garbage", headers=forged, partition=0)
        await eventually(lambda: _evil_letters(stores), 1)
        assert (await letters(stores)) == [stored]
        assert int(await stores.clickhouse.command("SELECT count() FROM spans WHERE tenant = 'evil'")) == 4


async def _is_committed(app: Any, end: int) -> int:
    return int((app.consumer.committed_offset(TP(TRACES.name, 0)) or 0) >= end)


async def _letter_count(stores: Stores) -> int:
    return len(await letters(stores))


async def _attempts(stores: Stores, reached: int) -> int:
    return sum(stored.letter.attempt == reached for stored in await letters(stores, LetterState.OPEN))


async def _evil_letters(stores: Stores) -> int:
    return len(await dead_letters.page(stores.postgres, LetterFilter("evil")))
