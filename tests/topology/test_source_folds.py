"""What a source's floor may pass, and what the source still tells when it starts there."""

from __future__ import annotations

from pathlib import Path

import pytest
from faust.types import TP
from stage_bench import Bench

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER
from schemas.topics import LOGS
from streams.progress import DRIVEN_EXPIRES_NS
from topologies.parcels import Record
from topologies.source_folds import SIGNALS, SourceFolds, decoder_of

LOGS_0 = TP(LOGS.name, 0)
WALL_NS = 1_700_000_000_000_000_000


def tick(offset: int, driven_ns: int | None, wall_ns: int = WALL_NS) -> Record:
    """Return a tick of a replayed tenant, or of nobody."""
    headers: tuple[tuple[str, bytes], ...] = ((TICK_HEADER, b"1"),)
    if driven_ns is not None:
        headers += ((TENANT_HEADER, b"acme"), (ARRIVAL_HEADER, b"%d" % driven_ns))
    return Record(offset, None, b"", headers, wall_ns)


class Source:
    """A source partition whose folds start again and again, each time at the checkpoint of those before."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.start()

    def start(self) -> None:
        """Start anew."""
        decoder = decoder_of(SIGNALS[LOGS.name], self._bench.settings)
        self.folds = SourceFolds(self._bench.wiring, LOGS_0, decoder)

    def take(self, *records: Record) -> None:
        """Take a batch."""
        self.folds.take(records, self._bench.settings, 2 * WALL_NS, {})

    def keep(self) -> None:
        """Keep the checkpoint, as is done before the floor rises."""
        if (closed := self.folds.closed()) is not None:
            self._bench.closed.saved[LOGS_0] = closed

    def told(self) -> dict[str, int]:
        """Return what the source tells of replays now."""
        return self.folds.clock.progress().driven


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Give a source partition of logs."""
    return Source(Bench(tmp_path))


def test_floor_does_not_pass_a_time_that_is_not_told(source: Source) -> None:
    """A tick holds nothing but time: below the floor it would be in no checkpoint and in no record."""
    source.take(tick(7, 30), tick(8, 40))
    assert source.folds.needed() == 7
    source.folds.flush()
    assert source.folds.needed() is None
    source.take(tick(9, 50))
    assert source.folds.needed() == 9
    closed = source.folds.closed()
    assert closed is not None
    assert closed.driven == {"acme": 40}


def test_source_that_starts_behind_a_replay_tells_its_time_again(source: Source) -> None:
    """Twice over, since a floor may pass what a second fold has told as well."""
    source.take(tick(0, 30))
    source.folds.flush()
    for offset in (1, 2):
        source.keep()
        source.start()
        source.take(tick(offset, None))
        source.folds.flush()
        assert source.told() == {"acme": 30}


def test_replay_that_has_been_over_for_an_hour_is_not_told_again(source: Source) -> None:
    """Its tenant may send live by now: the last record of the replay decides, not the last start."""
    source.take(tick(0, 30))
    source.folds.flush()
    source.keep()
    source.start()
    source.take(tick(1, None, WALL_NS + DRIVEN_EXPIRES_NS))
    source.folds.flush()
    source.keep()
    source.start()
    source.take(tick(2, None, WALL_NS + DRIVEN_EXPIRES_NS + 1))
    assert source.told() == {}
