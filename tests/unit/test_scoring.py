"""Scores of recorded faults: hits, false alarms, accuracy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.scoring import Fault, Opened, RecordingScore, score_recording, total, within_uncertainty

START_S = 1_674_980_000.0
"""08:13:20 UTC."""
HOUR = (START_S, START_S + 3600)
FAULT = Fault("f", START_S + 1000, "cart")


def opened(after_s: float, *named: str, at_s: float | None = None) -> Opened:
    """Return an incident opened so long after the fault began, with one ranking."""
    when = FAULT.start_s + (after_s if at_s is None else at_s)
    return Opened(f"inc-{after_s}", FAULT.start_s + after_s, "title", ((when, named),) if named else ())


def scored(*incidents: Opened, dont_care: tuple[str, ...] = ()) -> RecordingScore:
    """Score an hour with the fault in it."""
    return score_recording([FAULT], incidents, [HOUR], dont_care)


@pytest.mark.parametrize(("after_s", "hit"), [(0, False), (1, True), (270, True), (271, False)])
def test_a_hit_is_opened_after_the_start_and_within_270_seconds(after_s: float, hit: bool) -> None:
    """Half open, as the definition says."""
    assert scored(opened(after_s)).hits == int(hit)


@pytest.mark.parametrize(("after_s", "alarms"), [(-6, 1), (-5, 0), (400, 0), (401, 1)])
def test_a_false_alarm_is_opened_away_from_every_fault(after_s: float, alarms: int) -> None:
    """From five seconds before the start to 400 after it nothing is one."""
    assert len(scored(opened(after_s)).false_alarms) == alarms


def test_ranges_that_do_not_count_excuse_an_incident_and_are_no_fault_free_time() -> None:
    """Both ends included, in UTC of any day."""
    assert len(scored(opened(1200)).false_alarms) == 1
    excused = scored(opened(1200), dont_care=("08:40-08:55",))
    assert excused.false_alarms == ()
    assert excused.fault_free_hours == pytest.approx((3600 - 406 - 901) / 3600, abs=0.001)


def test_accuracy_is_by_the_ranking_of_300_seconds_after_the_start() -> None:
    """A later one is too late."""
    early, late = FAULT.start_s + 60, FAULT.start_s + 301
    incident = Opened("inc", FAULT.start_s + 30, "title", ((early, ("ads", "cart")), (late, ("cart",))))
    score = scored(incident)
    assert [score.accuracy(depth) for depth in (1, 2, 5)] == [0.0, 1.0, 1.0]
    assert score.summary()["avg_5"] == 0.8


def test_the_first_incident_in_time_is_the_hit() -> None:
    """A fragment that names better afterwards does not count."""
    score = scored(opened(30, "ads"), opened(60, "cart"))
    assert score.accuracy(1) == 0.0
    assert score.faults[0].delay_s == 30


@pytest.mark.parametrize(
    ("after_s", "hit", "alarms"), [(390, True, 0), (391, False, 0), (520, False, 0), (521, False, 1)]
)
def test_a_fault_that_lasts_longer_has_more_time_to_be_found(after_s: float, hit: bool, alarms: int) -> None:
    """Five minutes instead of three: two more for the hit, and before an incident is a false alarm."""
    trickle = replace(FAULT, duration_s=300)
    score = score_recording([trickle], [opened(after_s)], [HOUR], ())
    assert (score.hits, len(score.false_alarms)) == (int(hit), alarms)
    late = FAULT.start_s + 420
    found = Opened("inc", FAULT.start_s + 380, "title", ((late, ("cart",)), (late + 1, ("ads",))))
    assert score_recording([trickle], [found], [HOUR], ()).accuracy(1) == 1.0


def test_two_faults_at_once_need_an_incident_each() -> None:
    """One incident for both is one hit; two are given to the faults they name, whichever was opened first."""
    first, other = replace(FAULT, duration_s=180), Fault("g", FAULT.start_s + 20, "ads", duration_s=160)

    def both(*incidents: Opened) -> RecordingScore:
        return score_recording([first, other], incidents, [HOUR], ())

    assert both(opened(30, "cart", "ads")).hits == 1
    apart = both(opened(30, "ads", "cart"), opened(50, "cart"))
    assert (apart.hits, apart.accuracy(1)) == (2, 1.0)
    assert [score.incident.at_s - FAULT.start_s for score in apart.faults if score.incident] == [50, 30]


def test_splitting_a_fault_into_incidents_does_not_help_to_name_the_other() -> None:
    """With two faults, only the two incidents opened first are looked at."""
    first, other = replace(FAULT, duration_s=180), Fault("g", FAULT.start_s + 20, "ads", duration_s=160)
    incidents = [opened(30, "cart"), opened(40, "cart"), opened(50, "ads")]
    score = score_recording([first, other], incidents, [HOUR], ())
    assert (score.hits, score.accuracy(1)) == (2, 0.5)


def test_faults_one_after_the_other_may_share_an_incident() -> None:
    """As the definition says: it was opened in the time of both."""
    first, later = replace(FAULT, duration_s=180), Fault("g", FAULT.start_s + 240, "ads", duration_s=180)
    score = score_recording([first, later], [opened(260, "ads")], [HOUR], ())
    assert (score.hits, score.accuracy(1)) == (2, 0.5)


def test_an_undetected_fault_is_a_miss_for_accuracy_too() -> None:
    """Nothing found is nothing named."""
    summary = scored().summary()
    assert (summary["recall"], summary["ac_1"], summary["median_time_to_detect_s"]) == (0.0, 0.0, None)


def test_recordings_add_up_fault_by_fault() -> None:
    """And hour by hour."""
    whole = total([scored(opened(30, "cart")), scored(opened(2000))])
    summary = whole.summary()
    assert (summary["faults"], summary["recall"], summary["ac_1"]) == (2, 0.5, 0.5)
    assert summary["false_alarms_per_hour"] == pytest.approx(1 / (2 * (3600 - 406) / 3600), abs=0.001)


def test_a_recording_without_faults_has_no_recall() -> None:
    """Null in JSON, not zero and not a hundred percent."""
    score = score_recording([], [], [HOUR], ())
    assert score.summary()["recall"] is None
    assert score.summary()["false_alarms_per_hour"] == 0.0


def test_fragments_are_the_incidents_opened_about_a_fault() -> None:
    """From just before it until its consequences are over; a fault without any does not count."""
    assert scored(opened(30, "cart"), opened(350, "ads"), opened(900, "ads")).summary()["fragments_per_fault"] == 2
    assert scored().summary()["fragments_per_fault"] is None


def test_an_incident_of_two_faults_near_each_other_belongs_to_the_later_one() -> None:
    """So no incident is counted twice."""
    other = Fault("g", FAULT.start_s + 300, "ads")
    score = score_recording([FAULT, other], [opened(30), opened(330), opened(350)], [HOUR], ())
    assert [one.fragments for one in score.faults] == [1, 2]


@pytest.mark.parametrize(("after_s", "hits", "alarms"), [(-91, 0, 1), (-90, 0, 0), (-89, 1, 0), (270, 1, 0)])
def test_within_the_uncertainty_of_a_label_a_fault_may_be_found_before_its_start(
    after_s: float, hits: int, alarms: int
) -> None:
    """Half open, as for the hit itself; the strict figures do not know of it."""
    fault = replace(FAULT, start_uncertainty_s=90)
    allowed = score_recording(within_uncertainty([fault]), [opened(after_s, "cart")], [HOUR], ())
    assert (allowed.hits, allowed.accuracy(1), len(allowed.false_alarms)) == (hits, float(hits), alarms)
    strict = score_recording([fault], [opened(after_s, "cart")], [HOUR], ())
    assert (strict.hits, len(strict.false_alarms)) == (int(after_s > 0), int(after_s < 0))


def test_a_label_that_is_surer_than_five_seconds_still_excuses_those_five() -> None:
    """Allowing for uncertainty makes nothing a false alarm that strictly is none."""
    assert score_recording(within_uncertainty([FAULT]), [opened(-5)], [HOUR], ()).false_alarms == ()


def test_seconds_that_were_recorded_twice_are_counted_once() -> None:
    """Recordings of one day may overlap, and have holes between them."""
    first, second, later = (0.0, 3600.0), (1800.0, 5400.0), (7200.0, 9000.0)
    assert score_recording([], [], [first, second, later], ()).fault_free_hours == 2.0
