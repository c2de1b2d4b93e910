"""Parcels: many records in one Faust message, none twice, none left out, bounded in records and in bytes."""

from types import SimpleNamespace
from typing import Any

import pytest

from sinks.kafka.arrivals import EARLIEST_MS, UNTOLD_NS
from topologies.parcels import PARCEL_BYTES, PARCEL_RECORDS, Parcel, parcels, records_of, size_of


def consumed(offset: int, value: bytes | None, timestamp: int | None = 1_700_000_000_123) -> Any:
    """Return what aiokafka gives for a record."""
    return SimpleNamespace(offset=offset, key=b"k", value=value, headers=(("h", b"1"),), timestamp=timestamp)


def message(parcel: Parcel) -> Any:
    """Return what Faust makes of a parcel."""
    return SimpleNamespace(value=parcel, offset=parcel.first.offset)


def test_every_record_is_in_one_parcel_in_its_order() -> None:
    """A poll is cut, not sampled."""
    poll = [consumed(offset, b"v") for offset in range(2 * PARCEL_RECORDS + 5)]
    packed = list(parcels(poll))
    assert [len(parcel.records) for parcel in packed] == [PARCEL_RECORDS, PARCEL_RECORDS, 5]
    assert [record.offset for parcel in packed for record in parcel.records] == list(range(len(poll)))
    assert [parcel.first.offset for parcel in packed] == [0, PARCEL_RECORDS, 2 * PARCEL_RECORDS]


def test_large_records_fill_a_parcel_sooner() -> None:
    """Batches and buffers are bounded in bytes, and may be exceeded by one parcel."""
    third = bytes(PARCEL_BYTES // 3 + 1)
    packed = list(parcels([consumed(offset, third) for offset in range(7)]))
    assert [len(parcel.records) for parcel in packed] == [3, 3, 1]
    assert [size_of(message(parcel)) for parcel in packed] == [
        (3, 3 * len(third)),
        (3, 3 * len(third)),
        (1, len(third)),
    ]


def test_record_keeps_what_the_broker_knows_of_it() -> None:
    """Key, headers, an absent value, and the time in nanoseconds."""
    [parcel] = parcels([consumed(7, None)])
    [record] = records_of(message(parcel))
    assert record == (7, b"k", None, (("h", b"1"),), 1_700_000_000_123_000_000)


@pytest.mark.parametrize(
    ("timestamp", "arrival_ns"),
    [
        (None, UNTOLD_NS),
        (-1, UNTOLD_NS),
        (0, UNTOLD_NS),
        (-(2**62), UNTOLD_NS),
        (EARLIEST_MS - 1, UNTOLD_NS),
        (EARLIEST_MS, EARLIEST_MS * 1_000_000),
        (2**62, UNTOLD_NS),
    ],
)
def test_what_cannot_be_a_time_is_no_arrival(timestamp: int | None, arrival_ns: int) -> None:
    """And nothing is beyond int64, from a channel neither."""
    [parcel] = parcels([consumed(7, b"v", timestamp)])
    alone = SimpleNamespace(offset=7, key=b"k", value=b"v", headers=(), timestamp=timestamp and timestamp / 1000)
    assert [record.timestamp_ns for record in (*parcel.records, *records_of(alone))] == [arrival_ns] * 2


def test_no_records_make_no_parcel() -> None:
    """A poll may bring nothing."""
    assert list(parcels([])) == []
