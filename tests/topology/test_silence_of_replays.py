"""Points of metrics in the stage of incidents: of whom they are taken, who waits for them, what a floor may pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage_bench import Bench

from schemas.deviations import SeriesKind
from schemas.keys import PROGRESS_KEY
from schemas.topics import METRICS
from streams.points.courses import KEEP_NS, Point, SeriesName
from streams.points.readings import encode
from streams.progress import Progress
from tests.incident_runs import SHOP, shop
from tests.made_health import PANE_NS, pane_start, score
from topologies.incidents import PATIENCE_NS, IncidentLane, expected_sources
from topologies.parcels import Record

CALM, SILENT = 24, 12
CALM_NS = pane_start(CALM)
END_NS = pane_start(CALM + SILENT)


class EmptyTable:
    """Where nothing was stored."""

    def stored(self, key: bytes) -> bytes | None:
        """Return nothing."""
        return None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield nothing."""
        return iter(())


@pytest.fixture
def lane(tmp_path: Path) -> IncidentLane:
    """Give the state of a partition number."""
    return IncidentLane(Bench(tmp_path).wiring, EmptyTable(), 0)  # type: ignore[arg-type]


def panes_of_a_silence(driven: bool) -> Iterator[Record]:
    """Yield deviations of the shop, of which nothing is heard in the end."""
    for pane in range(CALM + SILENT):
        rate = score(SeriesKind.REQUEST_RATE, pane, value=0.0, median=5.0, strength=-20.0, since=CALM)
        silent = pane >= CALM
        bad = {name: [rate] for name in SHOP} if silent else {}
        for one in shop(pane, bad, requests=0 if silent else 50, driven=driven):
            yield Record(pane, b"acme", one.model_dump_json().encode(), (), 0)


def points(driven: bool) -> Record:
    """Return a record of the CPU of all services, which rest from the silence on."""
    told = []
    for service in SHOP:
        series = SeriesName(service, "1", "process.cpu.utilization", "1", False, ())
        for pane in range(0, CALM + SILENT, 3):
            told.append((series, Point(pane_start(pane), 0.1 if pane > CALM else 0.5, pane_start(pane))))
    return Record(7, b"acme", encode(told, "acme", driven), (), 0)


def reach(lane: IncidentLane, deviations_ns: int, metrics_ns: int, tenant: str = "acme") -> None:
    """Let a replay come so far, and its metrics."""
    for source in expected_sources(4):
        lane.clock.step(Progress(source, 1, {tenant: deviations_ns}))
    told = [Progress(f"{METRICS.name}/{n}", 1, {tenant: metrics_ns}) for n in range(4)]
    lane.take_points([Record(9, PROGRESS_KEY, one.encode(), (), 0) for one in told])


def titles(lane: IncidentLane) -> list[str]:
    """Step what is due and return the titles of what was opened."""
    return [event.title for event in lane.step()[0] if event.kind == "opened"]


def test_a_replay_waits_for_its_metrics_and_then_tells_a_stop(lane: IncidentLane) -> None:
    """Else it would be told late, or another time at another pane."""
    lane.take(list(panes_of_a_silence(driven=True)))
    reach(lane, END_NS + PANE_NS, CALM_NS)
    assert not titles(lane)
    assert lane.progress().driven == {"acme": END_NS + PANE_NS - PATIENCE_NS}
    lane.take_points([points(driven=True)])
    reach(lane, END_NS + PANE_NS, END_NS + PANE_NS)
    assert titles(lane) == ["storefront: requests stopped (normally 5/s)"]
    assert lane.progress().driven == {"acme": END_NS + PANE_NS}


def test_a_replay_does_not_wait_for_metrics_that_are_far_behind(lane: IncidentLane) -> None:
    """A source that is dead must not hold it up."""
    lane.take(list(panes_of_a_silence(driven=True)))
    reach(lane, END_NS + 2 * PATIENCE_NS, 0)
    lane.step()
    assert lane.needed() is None


def test_live_nothing_waits_for_metrics_and_none_are_kept(lane: IncidentLane) -> None:
    """Silence is a stop there."""
    lane.take(list(panes_of_a_silence(driven=False)))
    lane.take_points([points(driven=False)])
    assert lane.needed_points() is None
    for source in expected_sources(4):
        lane.clock.step(Progress(source, END_NS + PANE_NS))
    assert titles(lane) == ["storefront: requests stopped (normally 5/s)"]
    assert lane.needed() is None


def test_points_of_replays_are_needed_for_as_long_as_they_are_looked_at(lane: IncidentLane) -> None:
    """What is kept of them is in memory only."""
    lane.take_points([points(driven=True)])
    newest_ns = pane_start(CALM + SILENT - 3)
    reach(lane, newest_ns, newest_ns + KEEP_NS)
    assert lane.needed_points() == 7
    reach(lane, newest_ns, newest_ns + KEEP_NS + 1)
    assert lane.needed_points() is None


def test_what_is_no_record_of_points_stops_nobody(lane: IncidentLane) -> None:
    """It is counted and passed over."""
    lane.take_points([Record(1, b"acme", b"\xff", (), 0), Record(2, b"acme", b"", (), 0), points(driven=True)])
    assert lane.needed_points() == 7
