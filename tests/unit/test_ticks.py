"""Ticks: time for quiet partitions, and only for those."""

from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from schemas.errors import StoreUnavailable
from topologies.ticks import Ticker

QUIET, BUSY, BEHIND, INNER = TP("otel.traces", 0), TP("otel.traces", 1), TP("otel.logs", 0), TP("health", 0)


@dataclass
class RecordingProducer:
    """Keeps what it is sent; ``away`` makes it refuse."""

    sent: list[tuple[str, int, bytes]] = field(default_factory=list)
    away: bool = False

    async def send(self, topic: str, value: bytes, *, headers: Any, partition: int) -> None:
        """Keep the record."""
        assert headers == (("x-incidentscope-tick", b"1"),)
        if self.away:
            raise StoreUnavailable("no broker")
        self.sent.append((topic, partition, value))


@dataclass
class Wall:
    """A monotonic clock in the test's hand."""

    elapsed_s: float = 100.0

    def __call__(self) -> float:
        """Return the present second."""
        return self.elapsed_s


def ticker(producer: RecordingProducer, wall: Wall) -> Ticker:
    """Return a ticker with four partitions, one of them with unread records."""
    lags = {QUIET: 0, BUSY: 0, BEHIND: 3, INNER: 0}
    return Ticker(producer, lambda: list(lags), lags.get, 1.0, wall)  # type: ignore[arg-type]


async def test_quiet_partition_gets_one_tick_an_interval() -> None:
    """A partition is ticked once its silence has lasted an interval, then again an interval later."""
    producer, wall = RecordingProducer(), Wall()
    ticks = ticker(producer, wall)
    ticks.heard(BUSY)
    await ticks.tick()
    await ticks.tick()
    assert producer.sent == [("otel.traces", 0, b"")]
    wall.elapsed_s += 1.0
    ticks.heard(BUSY)
    await ticks.tick()
    assert producer.sent == [("otel.traces", 0, b"")] * 2


async def test_partition_with_unread_records_gets_none() -> None:
    """Its own records will tell the time; so do ours of the inner topics."""
    producer = RecordingProducer()
    ticks = ticker(producer, Wall())
    assert set(ticks.quiet()) == {QUIET, BUSY}


async def test_partition_whose_records_are_taken_and_wait_to_be_stored_gets_ticks() -> None:
    """Time goes on while an insert waits for more to come."""
    lags = {BEHIND: 3}

    def lag(partition: TP, taken: int) -> int:
        return max(0, lags[partition] - taken)

    wall = Wall()
    ticks = Ticker(RecordingProducer(), lambda: list(lags), lag, 1.0, wall)  # type: ignore[arg-type]
    ticks.heard(BEHIND, 3)
    wall.elapsed_s += 1.0
    assert ticks.quiet() == [BEHIND]
    ticks.forget()  # a rebalance: they are read again
    assert ticks.quiet() == []


async def test_broker_that_is_away_stops_nothing() -> None:
    """The tick is lost, the next one comes an interval later."""
    producer, wall = RecordingProducer(away=True), Wall()
    ticks = ticker(producer, wall)
    await ticks.tick()
    producer.away, wall.elapsed_s = False, wall.elapsed_s + 1.0
    await ticks.tick()
    assert len(producer.sent) == 2
