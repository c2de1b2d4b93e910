"""What is usual at an hour of the week: what raises no alarm in its third week, and what still does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import ServiceHealth
from streams.baselines import BaselineFold, BaselineState
from streams.baselines.hour_cells import WEEK_H, HourCells, HourConfig
from streams.baselines.hour_codes import VALUES, encode
from streams.incidents import IncidentFold
from tests.made_health import health, pane_start
from tests.quiet_weeks import DAY, HOUR, MONDAY, RUSH, WEEK, QuietWeeks

MINUTE = HOUR // 60
TUESDAY_NIGHT = (DAY + HOUR + 50 * MINUTE, DAY + 2 * HOUR + 35 * MINUTE)
MONDAY_MORNING = (7 * HOUR + 50 * MINUTE, 8 * HOUR + 40 * MINUTE)
NAME = "self_time\x1f\x1fGET /"


class Watched:
    """One service's judge and its tenant's incidents, told panes in order."""

    def __init__(self, hours: HourConfig | None = None) -> None:
        self.fold, self.memory = BaselineFold(), BaselineState(hours=HourCells(hours))
        self.incidents = IncidentFold("acme")
        self.opened: list[int] = []
        self.scores: dict[tuple[int, SeriesKind], SeriesScore] = {}

    def see(self, panes: Iterable[ServiceHealth]) -> Watched:
        """Judge panes; between what the test leaves out, state is kept as the changelog keeps it."""
        for one in panes:
            judged, _ = self.fold.advance(self.memory, one)
            assert judged is not None
            self.scores |= {(one.pane_start_ns, score.kind): score for score in judged.series}
            events = self.incidents.step_pane(one.pane_start_ns, [judged], one.pane_start_ns + 20_000_000_000)
            self.opened += [one.pane_start_ns for event in events if event.kind == "opened"]
        hours = HourCells.decode(self.memory.hours.encode(), self.memory.hours.config)
        self.memory = BaselineState.decode(self.memory.encode(), hours)
        return self

    def alarms_in(self, week: int) -> int:
        """Return the incidents of one week."""
        return sum((at - pane_start(MONDAY)) // (WEEK * 10**10) == week for at in self.opened)

    def score(self, pane: int, kind: SeriesKind = SeriesKind.SELF_TIME) -> SeriesScore:
        """Return the score of a series in a pane of the made weeks."""
        return self.scores[pane_start(MONDAY + pane), kind]


def weeks(watched: Watched, made: QuietWeeks, span: tuple[int, int], count: int = 3) -> Watched:
    """Let the same part of so many weeks go by."""
    for week in range(count):
        watched.see(made.panes(span[0] + week * WEEK, span[1] + week * WEEK))
    return watched


@pytest.mark.parametrize("span", [TUESDAY_NIGHT, MONDAY_MORNING], ids=["nightly job", "Monday rush"])
def test_what_comes_back_every_week_is_an_incident_twice_and_then_never_again(span: tuple[int, int]) -> None:
    """By the trailing baseline alone it would be one every week."""
    with_hours = weeks(Watched(), QuietWeeks(), span)
    without = weeks(Watched(HourConfig(least_visits=99)), QuietWeeks(), span)
    assert [min(without.alarms_in(week), 1) for week in range(3)] == [1, 1, 1]
    assert [min(with_hours.alarms_in(week), 1) for week in range(3)] == [1, 1, 0]


def test_a_fault_at_the_rush_hour_is_still_found() -> None:
    """Six times what is usual in the rush, in its third week; the score says that the hour's normal was exceeded."""
    at = 2 * WEEK + (RUSH[0] + RUSH[1]) // 2
    watched = weeks(Watched(), QuietWeeks(fault=(at, at + 18)), MONDAY_MORNING)
    found = [(opened - pane_start(MONDAY + at)) // 10**10 for opened in watched.opened]
    assert any(0 < panes <= 4 for panes in found)
    assert watched.alarms_in(2) == 1


def test_a_fault_in_an_hour_without_rush_is_found_as_soon_as_before() -> None:
    """Where nothing is usual the trailing baseline judges alone."""
    at = 2 * WEEK + 12 * HOUR
    span = (at - 2 * WEEK - 90, at - 2 * WEEK + 30)
    ways = [Watched(), Watched(HourConfig(least_visits=99))]
    found = [weeks(way, QuietWeeks(fault=(at, at + 18)), span).opened for way in ways]
    assert found[0] == found[1] != []


def test_a_score_says_whether_its_hour_is_known_and_which_normal_judged() -> None:
    """The rush of the third week, and the calm before it; two weeks are needed."""
    watched = weeks(Watched(), QuietWeeks(), MONDAY_MORNING)
    middle, calm = (RUSH[0] + RUSH[1]) // 2, MONDAY_MORNING[0] + 40
    second, third = watched.score(middle + WEEK), watched.score(RUSH[0] + 3 + 2 * WEEK)
    assert (second.hour_of_week, second.judged_by) == ("learning", "trailing")
    assert (third.hour_of_week, third.judged_by) == ("reliable", "hour_of_week")
    assert third.median == pytest.approx(third.value, rel=0.5)
    assert watched.score(calm + 2 * WEEK).hour_of_week == "reliable"


def test_one_incident_never_becomes_usual() -> None:
    """A fault in the second of two weeks: the third week's fault at that hour is found."""
    calm, fault = QuietWeeks(), QuietWeeks(fault=(0, 10**9), fault_factor=20.0)
    span = (DAY + 12 * HOUR, DAY + 12 * HOUR + 200)
    watched = Watched().see(calm.panes(*span))
    for week in (1, 2):
        begin = span[0] + week * WEEK
        watched.see(calm.panes(begin, begin + 120)).see(fault.panes(begin + 120, begin + 170))
        watched.see(calm.panes(begin + 170, begin + 200))
    assert (watched.alarms_in(1), watched.alarms_in(2)) == (1, 1)


def test_traffic_that_stops_every_week_at_this_hour_is_no_drop() -> None:
    """A shop that closes at eight on Saturdays; by its last minutes alone traffic has stopped."""

    def saturdays(watched: Watched) -> SeriesScore:
        evening = 5 * DAY + 19 * HOUR + 50 * MINUTE
        for begin in (evening, evening + WEEK, evening + 2 * WEEK):
            watched.see(health("catalog", MONDAY + begin + pane, 100) for pane in range(60))
            watched.see(health("catalog", MONDAY + begin + pane, 0, window_requests=0) for pane in range(60, 120))
        return watched.score(evening + 2 * WEEK + 66, SeriesKind.REQUEST_RATE)

    assert saturdays(Watched(HourConfig(least_visits=99))).deviating
    closed = saturdays(Watched())
    assert (closed.deviating, closed.judged_by) == (False, "hour_of_week")


def test_a_replay_of_the_last_panes_leaves_cells_and_notes_as_they_were() -> None:
    """Also across the end of a segment, which goes to its cell once its panes cannot come again."""
    made = list(QuietWeeks().panes(0, 100))
    for end in range(60, 100, 7):
        watched = Watched().see(made[:end])
        before = (watched.memory.encode(), watched.memory.hours.encode())
        watched.see(made[end - 6 : end])
        assert (watched.memory.encode(), watched.memory.hours.encode()) == before


def test_a_revised_pane_is_noted_in_place_of_what_it_was() -> None:
    """A segment of wrong panes, each of them told again."""
    straight, revised = Watched(), Watched()
    for pane in range(90):
        straight.see([health("catalog", MONDAY + pane, 50, own_ms=8.0)])
        revised.see([health("catalog", MONDAY + pane, 50, own_ms=9.0)])
        revised.see([health("catalog", MONDAY + pane, 50, own_ms=8.0, revision=1)])
    assert revised.memory.hours.encode() == straight.memory.hours.encode()


def test_a_cell_needs_two_weeks_and_forgets_after_four() -> None:
    """An hour of every week, and none of five weeks ago."""
    cells, hour = HourCells(), 500_000
    at_ns = hour * 3_600_000_000_000
    told = []
    for week in range(3):
        told.append(cells.usual([NAME], at_ns + week * WEEK_H * 3_600_000_000_000) is not None)
        cells.visit(hour + week * WEEK_H, {NAME: encode([[100.0, 200.0]])[0].tolist()}, {})
    assert told == [False, False, True]
    assert cells.usual([NAME], at_ns + 5 * WEEK_H * 3_600_000_000_000) is not None
    assert cells.usual([NAME], at_ns + 6 * WEEK_H * 3_600_000_000_000) is None


def test_history_from_elsewhere_fills_what_was_not_measured_here() -> None:
    """Four weeks of one hour, one of which was measured here."""
    cells, hour = HourCells(), 500_000
    cells.visit(hour - WEEK_H, {NAME: encode([[100.0, 200.0]])[0].tolist()}, {})
    cells.seed({NAME: [(hour - week * WEEK_H, 10.0 * week, 20.0) for week in range(1, 5)]})
    usual = HourCells.decode(cells.encode()).usual([NAME, "other"], hour * 3_600_000_000_000)
    assert usual is not None
    assert usual.values[0, 0] == pytest.approx(30.0, rel=0.05), "of 100, 20, 30 and 40 the lower middle"
    assert usual.known.tolist() == [True, False]
    assert HourCells.decode(cells.encode()).is_seeded


def test_no_service_has_more_cells_than_there_may_be() -> None:
    """Bytes for each series, as documented: 168 hours, four weeks, two tracks."""
    cells = HourCells(HourConfig(max_series=10))
    empty = len(HourCells().encode())
    for number in range(40):
        cells.visit(500_000 + number, {f"gap\x1fcaller-{number}\x1f": [50, 60]}, {})
    assert len(cells.encode()) - empty <= 10 * (WEEK_H * 4 * 2 + 24)
    assert cells.usual(["gap\x1fcaller-39\x1f"], (500_039 + WEEK_H) * 3_600_000_000_000) is None


def test_codes_are_near_their_values_and_in_their_order() -> None:
    """From a sixty-fourth of a millisecond to half a day; zero and nothing have codes of their own."""
    values = np.geomspace(0.02, 4e7, 500)
    codes = encode(values)
    assert np.abs(VALUES[codes] / values - 1).max() < 0.0626
    assert (np.diff(codes.astype(int)) >= 0).all()
    assert encode([[0.0, float("nan")]]).tolist() == [[1, 0]]


def test_what_is_usual_some_minutes_later_is_usual_now() -> None:
    """A job may begin early: ten minutes before the hour it is known from, not half an hour."""
    cells, hour, hour_ns = HourCells(), 500_000, 3_600_000_000_000
    for week in (1, 2):
        cells.visit(hour - 1 - week * WEEK_H, {NAME: encode([[10.0, 20.0]])[0].tolist()}, {})
        cells.visit(hour - week * WEEK_H, {NAME: encode([[100.0, 200.0]])[0].tolist()}, {})
    told = [cells.usual([NAME], hour * hour_ns - minutes * 60_000_000_000) for minutes in (30, 5)]
    assert [round(one.values[0, 0]) for one in told if one is not None] == [10, 104]
