"""More users than usual: the load is named as the cause, at the door and nowhere behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.incidents import HypothesisSet
from schemas.settings import Settings
from streams.hypotheses import TenantPicture
from streams.hypotheses.findings import findings_of
from streams.pipeline import Decided, DueRanking, LocalPipeline
from tests.made_health import deviations, pane_start, score
from topologies.recordings import Recording
from topologies.witnessing import play

SPIKE = Path(__file__).parents[1] / "data" / "scenarios" / "traffic-spike"


@pytest.fixture(scope="module")
def rankings() -> list[HypothesisSet]:
    """Return the rankings of the shop while five times as many users come, from 30 s after it began."""
    due: list[DueRanking] = []

    def see(decided: Decided) -> None:
        due.extend(decided.rankings)

    with Recording(SPIKE) as recording:
        [fault] = recording.labels.faults
        play(LocalPipeline(Settings()), recording.messages(), see)
    return [one.make() for one in due if one.as_of_ns >= (fault.start_unix + 30) * 1e9]


def test_the_load_is_named_first_and_stays_when_it_is_over(rankings: list[HypothesisSet]) -> None:
    """With how many times the usual requests came, and the query that shows them."""
    assert len(rankings) > 5
    for ranking in rankings:
        first = ranking.hypotheses[0]
        assert (first.service, first.suspect_kind) == ("storefront", "load")
        assert first.title == "more requests than usual reach storefront"
    said = [one for one in rankings[-1].hypotheses[0].evidence if one.series and one.series.kind == "request_rate"]
    assert ["times the usual requests come in" in one.summary for one in said] == [True]
    assert "/services/storefront/health?start=" in said[0].query


def test_what_is_behind_the_door_has_no_load_of_its_own(rankings: list[HypothesisSet]) -> None:
    """Although as many more requests come to it, and some without a caller that is known."""
    kinds = {(one.service, one.suspect_kind) for ranking in rankings for one in ranking.hypotheses}
    assert {service for service, kind in kinds if kind == "load"} == {"storefront"}


def rated(pane: int, value: float, *, outside: int) -> ServiceDeviations:
    """Return a pane of a door with so many requests a second, 3 as a rule, of which some are of users."""
    rate = score(SeriesKind.REQUEST_RATE, pane, value=value, median=3.0, strength=(value - 3.0) / 1.0)
    made = deviations("door", pane, [rate], requests=int(10 * value), entry=True)
    edges = [edge.model_copy(update={"requests": outside}) for edge in made.edges_in]
    return made.model_copy(update={"edges_in": edges})


@pytest.mark.parametrize(
    ("rates", "outside", "times"),
    [
        ([3.0] * 4 + [12.0] * 6 + [3.0] * 20, 120, 4.0),
        ([3.0] * 4 + [30.0] + [3.0] * 25, 120, 2.8),
        ([3.0] * 30, 120, 1.0),
        ([12.0] * 30, 0, 1.0),
    ],
)
def test_the_busiest_minute_counts(rates: list[float], outside: int, times: float) -> None:
    """Not the mean over all that is looked at; nothing where the requests are passed on."""
    picture = TenantPicture("acme")
    for pane, rate in enumerate(rates):
        picture.step(rated(pane, rate, outside=outside))
    [found] = findings_of([], picture.between(pane_start(0), pane_start(len(rates))))
    assert found.surge_times == pytest.approx(times, abs=0.01)
    assert (found.surge_peak is None) == (times == 1.0)
