"""Lanes: each partition's records in order, once, and nothing of an earlier assignment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from faust.types import TP
from prometheus_client import REGISTRY

from topologies.lanes import Lanes
from topologies.offsets import Floors
from topologies.parcels import Parcel, Record


def event(offset: int, partition: int = 0, generation: int = 1, topic: str = "t") -> Any:
    """Return what a Faust event looks like to lanes."""
    message = SimpleNamespace(
        tp=TP(topic, partition),
        topic=topic,
        partition=partition,
        offset=offset,
        key=None,
        value=b"v%d" % offset,
        headers=[("h", b"1")],
        timestamp=1_700_000_000.123,
        generation_id=generation,
    )
    return SimpleNamespace(message=message)


@dataclass
class Group:
    """A consumer group whose generation a test can change."""

    generation: int = 1
    floors: Floors = field(default_factory=Floors)

    def lanes(self, committed: int | None = None) -> Lanes[list[int]]:
        """Return the lanes of a stage whose state is a list."""
        return Lanes("s", ["t"], self.floors, lambda: self.generation, lambda _: [], lambda _: committed)


def offsets(batches: Any) -> dict[int, list[int]]:
    """Return the offsets of a split batch by partition."""
    return {lane.partition.partition: [record.offset for record in records] for lane, records in batches}


def test_batch_is_split_by_partition_in_order() -> None:
    """Each lane gets its records as they stand in the log."""
    lanes = Group().lanes()
    batches = lanes.split([event(5), event(1, partition=1), event(6), event(2, partition=1)])
    assert offsets(batches) == {0: [5, 6], 1: [1, 2]}


def test_record_carries_headers_and_the_timestamp_in_whole_milliseconds() -> None:
    """Float seconds become exact nanoseconds."""
    [(_, [record])] = Group().lanes().split([event(5)])
    assert record.headers == (("h", b"1"),)
    assert record.timestamp_ns == 1_700_000_000_123_000_000


def test_records_of_another_generation_are_dropped() -> None:
    """Buffers cross a rebalance; what they hold is read again."""
    group = Group(generation=2)
    assert group.lanes().split([event(5, generation=1)]) == []


def test_record_that_was_read_already_is_dropped() -> None:
    """A rewind within a generation brings nothing twice."""
    lanes = Group().lanes()
    lanes.split([event(5), event(6)])
    assert offsets(lanes.split([event(5), event(6), event(7)])) == {0: [7]}


def test_rebalance_starts_a_new_state_and_allows_a_rewind() -> None:
    """State of before the rebalance is never continued."""
    group = Group()
    lanes = group.lanes()
    [(old, _)] = lanes.split([event(5), event(6)])
    old.state.append(1)
    group.generation = 2
    [(new, records)] = lanes.split([event(3, generation=2)])
    assert not lanes.is_current(old)
    assert lanes.is_current(new)
    assert new.state == []
    assert [record.offset for record in records] == [3]


def test_skipped_offsets_are_counted_also_before_the_first_record() -> None:
    """A jump in offsets is a loss, and is counted."""

    def missing() -> float:
        return REGISTRY.get_sample_value("incidentscope_records_missing_total", {"topic": "gap"}) or 0.0

    floors = Floors()
    lanes = Lanes("s", ["gap"], floors, lambda: 1, lambda _: None, lambda _: 10)
    lanes.split([event(12, topic="gap"), event(13, topic="gap"), event(20, topic="gap")])
    assert missing() == 2 + 6


def parcel(offsets: Sequence[int], topic: str = "t") -> Any:
    """Return what a Faust event with several records looks like to lanes."""
    packed = event(offsets[0], topic=topic)
    packed.message.value = Parcel(tuple(Record(offset, None, b"", (), 0) for offset in offsets), 0, None)
    return packed


def test_what_is_new_in_a_parcel_is_taken() -> None:
    """A rewind may lead into the middle of a parcel."""
    lanes = Group().lanes()
    lanes.split([event(5), event(6)])
    [(lane, records)] = lanes.split([parcel([5, 6, 7, 8])])
    assert [record.offset for record in records] == [7, 8]
    assert lane.next_offset == 9


def test_offsets_skipped_inside_a_parcel_are_counted() -> None:
    """Also behind records that were read already, which are none."""

    def missing() -> float:
        return REGISTRY.get_sample_value("incidentscope_records_missing_total", {"topic": "torn"}) or 0.0

    lanes = Lanes("s", ["torn"], Floors(), lambda: 1, lambda _: None, lambda _: 5)
    lanes.split([parcel([5, 6], "torn"), parcel([5, 6, 9, 10, 12], "torn")])
    assert missing() == 2 + 1


def test_report_goes_to_the_floors_with_the_lanes_position() -> None:
    """What a lane needs becomes the floor."""
    group = Group()
    lanes = group.lanes()
    group.floors.begin(1)
    [(lane, _)] = lanes.split([event(5), event(6)])
    lanes.report(lane, needed=5)
    assert group.floors.floor(TP("t", 0)) == 5
    assert group.floors.position(TP("t", 0)) == 7
