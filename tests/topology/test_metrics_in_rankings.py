"""Points of metrics between ingest and rankings: what a floor may not pass, and how long a ranking waits for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from faust.types import TP
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from stage_bench import Bench

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER
from schemas.topics import METRICS, POINTS
from streams.points.readings import read_told
from streams.progress import Progress
from topologies.desks import PICTURE_NS, Desk
from topologies.incidents import PATIENCE_NS, expected_sources
from topologies.parcels import Record
from topologies.source_folds import SIGNALS, SourceFolds, decoder_of

METRICS_0 = TP(METRICS.name, 0)
WALL_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def gauge(offset: int, value: float, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    """Return a record with one point of the cart's CPU."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "cart"
    metric = resource.scope_metrics.add().metrics.add(name="process.cpu.utilization")
    metric.gauge.data_points.add(time_unix_nano=WALL_NS, as_double=value)
    return Record(offset, None, request.SerializeToString(), ((TENANT_HEADER, b"acme"), *headers), WALL_NS)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give the wiring of a stage."""
    return Bench(tmp_path)


def folds_of(bench: Bench) -> SourceFolds:
    """Return the folds of a source partition of metrics."""
    return SourceFolds(bench.wiring, METRICS_0, decoder_of(SIGNALS[METRICS.name], bench.settings))


def test_points_are_told_by_tenant_and_needed_until_then(bench: Bench) -> None:
    """A crash before that reads their record again."""
    folds = folds_of(bench)
    assert folds.needed() is None
    folds.take([gauge(7, 0.9)], bench.settings, 2 * WALL_NS, {})
    assert folds.needed() == 7
    [message] = folds.flush()
    assert (message.topic, message.key) == (POINTS.name, b"acme")
    assert message.value is not None
    [(series, point)] = read_told(message.value).told
    assert (series.service, series.metric, point.value) == ("cart", "process.cpu.utilization", 0.9)
    assert folds.needed() is None
    assert {one.topic for broadcast in folds.broadcasts for one in broadcast.messages(folds.clock.progress())} == {
        POINTS.name
    }


def test_a_source_of_metrics_tells_the_time_of_replays_again_when_it_starts(bench: Bench) -> None:
    """Their records may all lie below its floor, and a desk that starts later waits for it."""
    folds = folds_of(bench)
    folds.take([gauge(7, 0.9, ((ARRIVAL_HEADER, b"%d" % WALL_NS),))], bench.settings, 2 * WALL_NS, {})
    folds.flush()
    bench.closed.saved[METRICS_0] = folds.closed()
    assert folds_of(bench).clock.progress().driven == {"acme": WALL_NS}


class Clocks:
    """A desk, and the clocks of what it reads."""

    def __init__(self, bench: Bench) -> None:
        self._partitions = bench.settings.partitions
        self.desk = Desk(bench.wiring, 0)

    def reach(self, others_ns: int, metrics_ns: int) -> None:
        """Let the deviations and events come so far, and the metrics so far."""
        for source in expected_sources(self._partitions):
            self.desk.deviations_clock.step(Progress(source, others_ns))
        self.desk.events_clock.step(Progress("deviations/0", others_ns))
        for number in range(self._partitions):
            self.desk.points_clock.step(Progress(f"{METRICS.name}/{number}", metrics_ns))


def test_a_ranking_waits_for_metrics_that_are_a_little_behind(bench: Bench) -> None:
    """And says so to who waits for rankings."""
    clocks = Clocks(bench)
    clocks.reach(WALL_NS, WALL_NS - 20 * SECOND_NS)
    assert clocks.desk.clock_ns("acme") == clocks.desk.progress().wall_ns == WALL_NS - 20 * SECOND_NS
    clocks.reach(WALL_NS, WALL_NS + 20 * SECOND_NS)
    assert clocks.desk.clock_ns("acme") == clocks.desk.progress().wall_ns == WALL_NS


def test_a_ranking_does_not_wait_for_metrics_that_are_far_behind(bench: Bench) -> None:
    """They only explain."""
    clocks = Clocks(bench)
    clocks.reach(WALL_NS, 0)
    assert clocks.desk.clock_ns("acme") == clocks.desk.progress().wall_ns == WALL_NS - PATIENCE_NS


def test_points_are_needed_for_as_long_as_a_picture_has_them(bench: Bench) -> None:
    """Half an hour after they arrived they may be forgotten."""
    clocks, folds = Clocks(bench), folds_of(bench)
    folds.take([gauge(7, 0.9)], bench.settings, 2 * WALL_NS, {})
    [message] = folds.flush()
    assert message.value is not None
    clocks.desk.see_points(3, read_told(message.value))
    clocks.reach(WALL_NS + PICTURE_NS, WALL_NS + PICTURE_NS)
    assert clocks.desk.needed_points() == 3
    clocks.reach(WALL_NS + PICTURE_NS + SECOND_NS, WALL_NS + PICTURE_NS + SECOND_NS)
    assert clocks.desk.needed_points() is None
