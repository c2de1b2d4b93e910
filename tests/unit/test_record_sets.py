"""Record sets are read where they were received, whatever they hold and whichever version the answer is of."""

from __future__ import annotations

import io
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.protocol import fetch
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.structs import TopicPartition

from sinks.kafka import connection
from sinks.kafka.record_sets import SMALLEST_SHARE

assert connection  # which lets consumers read in place
VERSIONS = [getattr(fetch, name) for name in vars(fetch) if name.startswith("FetchResponse_v")]
VALUES = [b"one", b"two" * 1_000, b"three"]
BETWEEN = {"error_code": 0, "highwater_offset": 9, "aborted_transactions": [], "partition": 0}
"""What stands in a partition's part of an answer; the rest is -1."""


def batch(values: list[bytes], codec: int = 0, first: int = 0) -> bytes:
    """Return a batch of today's format."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 24)
    for place, value in enumerate(values):
        builder.append(place, 1_000, None, value, [])
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]  # not under the checksum


def old_batch(values: list[bytes], magic: int) -> bytes:
    """Return messages of one of the formats before."""
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 24)
    for place, value in enumerate(values):
        builder.append(place, 1_000, None, value)
    return bytes(builder.build())


def answer_of(version: Any, sets: list[bytes | None]) -> bytes:
    """Return an answer with these record sets of one topic."""
    names = version.SCHEMA.fields[-1].array_of.fields[-1].array_of.names
    partitions = [(*(BETWEEN.get(name, -1) for name in names[:-1]), one) for one in sets]
    heads = [0] * (len(version.SCHEMA.fields) - 1)
    return bytes(version.SCHEMA.encode((*heads, [("otel.traces", partitions)])))


def record_sets(version: Any, answer: bytes) -> list[Any]:
    """Return the record sets of an answer as aiokafka decodes it."""
    return [partition[-1] for partition in version.decode(io.BytesIO(answer)).topics[0][1]]


def values_of(record_set: Any) -> list[bytes]:
    """Return the values of the records in it, as a consumer does."""
    records = fetcher.MemoryRecords(record_set)
    place = TopicPartition("otel.traces", 0)
    return [record.value for record in fetcher.PartitionRecords(place, records, None, 0, None, None, True, 0)]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.__name__)
def test_record_sets_of_every_version_are_views_of_the_answer(version: Any) -> None:
    """Nothing is copied but values, and there is nothing where there is no record set."""
    answer = answer_of(version, [batch(VALUES), None, batch(VALUES[:2]) + batch(VALUES[2:], first=2)])
    first, none, last = record_sets(version, answer)
    assert first.obj is answer
    assert last.obj is answer
    assert [values_of(first), values_of(none), values_of(last)] == [VALUES, [], VALUES]


@pytest.mark.parametrize("records", [batch(VALUES, 1), old_batch(VALUES, 0), old_batch(VALUES, 1)])
def test_packed_and_old_batches_are_read_in_place_too(records: bytes) -> None:
    """Their records are what they were."""
    [found] = record_sets(VERSIONS[-1], answer_of(VERSIONS[-1], [records]))
    assert isinstance(found, memoryview)
    assert values_of(found) == VALUES


def test_a_few_records_do_not_keep_a_large_answer() -> None:
    """A small part of an answer is copied."""
    large = batch([bytes(SMALLEST_SHARE * 1_000)])
    small, _ = record_sets(VERSIONS[-1], answer_of(VERSIONS[-1], [batch([b"small"]), large]))
    assert isinstance(small, bytes)
    assert values_of(small) == [b"small"]


def test_an_answer_that_ends_within_a_record_set_is_an_error() -> None:
    """As it is without us."""
    answer = answer_of(VERSIONS[-1], [batch(VALUES)])
    with pytest.raises(ValueError, match="ends within a record set"):
        record_sets(VERSIONS[-1], answer[:-1])
