"""Metrics on their way into a ranking: which points are told, what is kept of them, what moved, what that weighs."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as some
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from schemas.deviations import SeriesKind
from schemas.errors import BadPayload
from schemas.incidents import HypothesisSet, Impact, IncidentEvent, IncidentState, Severity
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.otlp.metrics import MOST_POINTS, decode_metrics
from streams.points.courses import KEEP_NS, MOST_SERIES, Course, Point, SeriesName, TenantCourses
from streams.points.moves import moves_of
from streams.points.readings import MOST_TENANTS, PointFold, Told, read_told
from streams.windows import SECOND_NS, WindowConfig
from tests.made_health import deviations, pane_start, score

MINUTE_NS = 60 * SECOND_NS
ONSET_NS = pane_start(0)
CPU = SeriesName("cart", "cart-1", "process.cpu.utilization", "1", False, ())
RATE = CPU._replace(metric="process.cpu.time", unit="s", is_counter=True)


def minutes(values: Iterable[float], series: SeriesName = CPU, first: int = -10) -> list[Told]:
    """Return a point a minute, the first so many minutes after the onset; each arrives a second later."""
    times = (ONSET_NS + (first + place) * MINUTE_NS for place in range(1_000))
    return [(series, Point(at_ns, value, at_ns + SECOND_NS)) for at_ns, value in zip(times, values, strict=False)]


def course(told: list[Told]) -> Course:
    """Return the points of one series."""
    return Course(told[0][0], [point for _, point in told])


def strength(told: list[Told]) -> float:
    """Return how far the metric moved in the five minutes since the onset; 0 when nothing is said."""
    found = moves_of([course(told)], ONSET_NS, ONSET_NS + 5 * MINUTE_NS)
    return found[0].strength if found else 0.0


# -- what moved --------------------------------------------------------------------------------------------


def test_cpu_that_multiplies_is_told_from_a_past_of_a_few_minutes() -> None:
    """Six points a minute apart are a past; eighty times as much is clear."""
    told = minutes([6.0, 6.4, 5.9, 6.2, 6.1, 6.3, 500.0, 480.0], first=-6)
    assert strength(told) > 1.0
    [found] = moves_of([course(told)], ONSET_NS, ONSET_NS + 5 * MINUTE_NS)
    assert (found.metric, found.instance, found.usual, found.value) == (CPU.metric, "cart-1", 6.15, 500.0)
    assert (found.known, found.points) == (6, 2)


def test_a_past_of_three_points_says_nothing() -> None:
    """However large the move is."""
    assert strength(minutes([6.0, 6.0, 6.0, 500.0], first=-3)) == 0.0
    assert strength(minutes([6.0, 6.0, 6.0, 6.0, 500.0], first=-4)) > 0.0


@pytest.mark.parametrize("usual", [0.013, 6.0, 76_000_000.0])
def test_noise_of_any_size_does_not_move(usual: float) -> None:
    """Thirty metrics that vary by a fifth."""
    chance = random.Random(7)
    for _ in range(30):
        assert strength(minutes([usual * chance.gauss(1.0, 0.2) for _ in range(15)])) < 0.2


def test_small_counts_vary_by_their_square_root() -> None:
    """A request that is being served while a point is taken is no news; forty are."""
    assert strength(minutes([0.0] * 10 + [1.0, 0.0, 2.0])) == 0.0
    assert strength(minutes([0.0] * 10 + [40.0, 42.0, 39.0])) > 0.5


def test_a_past_that_stood_still_or_went_as_far_before_is_no_reason() -> None:
    """A few per cent of a limit that never changed; a spike like the one of some minutes ago."""
    assert strength(minutes([0.5] * 10 + [0.52, 0.53])) == 0.0
    assert strength(minutes([0.5] * 10 + [5.2, 5.3])) > 0.3
    assert strength(minutes([1.5] * 8 + [5.5, 1.5, 6.0, 6.2])) == 0.0


def test_of_a_counter_the_increase_is_judged_and_not_where_it_begins_anew() -> None:
    """A restart is a fall, which says nothing; ten times the rate afterwards does."""
    steady = [60.0 * place for place in range(13)]
    assert strength(minutes(steady, RATE)) == 0.0
    anew = [*steady[:10], 0.0, 60.0, 120.0]
    assert strength(minutes(anew, RATE)) == 0.0
    assert strength(minutes(steady[:10] + [540.0 + 3_000.0 * place for place in (1, 2, 3)], RATE)) > 0.5


def test_one_point_of_five_moves_less_than_five() -> None:
    """A spike is no level."""
    calm = [6.0, 6.4, 5.9, 6.2, 6.1, 6.3, 6.0, 5.8, 6.1, 6.2]
    assert 0 < strength(minutes([*calm, 500.0, 6.0, 6.1, 6.2, 5.9])) < strength(minutes([*calm, *[500.0] * 5])) / 3


# -- what is kept ------------------------------------------------------------------------------------------


def told_of(courses: TenantCourses, arrived_by_ns: int = 2**62) -> list[Course]:
    """Return what is kept of the cart."""
    return list(courses.of("cart", arrived_by_ns))


@given(some.randoms(use_true_random=False), some.lists(some.integers(0, 39), max_size=60))
def test_order_and_repetition_change_nothing(chance: random.Random, again: list[int]) -> None:
    """Points come from several partitions, and once more after a crash."""
    told = [
        (CPU._replace(metric=f"m{place % 2}"), Point(ONSET_NS + place * 5 * SECOND_NS, float(place), place))
        for place in range(40)
    ]
    one, other = TenantCourses(), TenantCourses()
    one.step(told)
    shuffled = told + [told[place] for place in again]
    chance.shuffle(shuffled)
    for each in shuffled:
        other.step([each])
    assert told_of(one) == told_of(other)


def test_half_an_hour_is_kept_and_what_is_gone_makes_room() -> None:
    """Instances come and go with every deploy."""
    courses = TenantCourses()
    courses.step(minutes([1.0] * 10))
    later = [CPU._replace(instance=f"cart-{number}") for number in range(2, 2 + MOST_SERIES)]
    for series in later:
        courses.step(minutes([1.0] * 10, series, first=40))
    assert {one.series for one in told_of(courses)} == set(later)
    assert all(len(one.points) == 10 for one in told_of(courses))


def test_a_picture_that_is_frozen_keeps_its_metrics_and_learns_no_more() -> None:
    """A ranking may be made later than it was due."""
    picture = TenantPicture("acme")
    picture.step_points(minutes([1.0] * 5))
    frozen = picture.frozen()
    picture.step_points(minutes([1.0] * 5, first=0))
    assert [len(one.points) for one in frozen.courses("cart", 2**62)] == [5]


def test_of_too_many_series_resources_are_kept_first_whatever_comes_first() -> None:
    """The same ones in any order."""
    names = [f"orders.of.kind.{number}" for number in range(100)]
    told = [minutes([1.0], CPU._replace(metric=name))[0] for name in names]
    one, other = TenantCourses(), TenantCourses()
    one.step([*told, *minutes([1.0])])
    other.step([*minutes([1.0]), *reversed(told)])
    assert len(told_of(one)) == MOST_SERIES
    assert told_of(one) == told_of(other)
    assert CPU in {each.series for each in told_of(one)}


def test_what_arrived_after_an_instant_is_not_seen_as_of_it() -> None:
    """A ranking that is made later, by a worker that has read on, is the same."""
    courses = TenantCourses()
    courses.step(minutes([1.0] * 20))
    [seen] = told_of(courses, ONSET_NS)
    assert [point.time_ns for point in seen.points] == [ONSET_NS - number * MINUTE_NS for number in range(10, 0, -1)]


# -- what is told ------------------------------------------------------------------------------------------


def request_of(values: dict[str, float], time_ns: int = ONSET_NS, instance: str = "cart-1") -> bytes:
    """Return a message of one gauge a name."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, text in (("service.name", "cart"), ("service.instance.id", instance)):
        resource.resource.attributes.add(key=key).value.string_value = text
    scope = resource.scope_metrics.add()
    for name, value in values.items():
        scope.metrics.add(name=name, unit="1").gauge.data_points.add(time_unix_nano=time_ns, as_double=value)
    return request.SerializeToString()


def tell(*messages: tuple[int, bytes]) -> list[Told]:
    """Return what a fold tells of messages that arrive at these instants."""
    fold = PointFold(WindowConfig())
    for arrival_ns, message in messages:
        fold.take("acme", decode_metrics(message).resources, arrival_ns)
    records = [read_told(value) for _, value in fold.flush()]
    assert {record.tenant for record in records} <= {"acme"}
    assert fold.flush() == [], "told once"
    return [told for record in records for told in record.told]


def test_a_metric_is_told_once_in_half_a_minute() -> None:
    """Whoever sends it each second."""
    seconds = [(ONSET_NS + number * SECOND_NS, request_of({CPU.metric: float(number)})) for number in range(60)]
    assert [point.value for _, point in tell(*seconds)] == [0.0, 10.0, 40.0], "half minutes of the clock"


def test_tenants_that_are_gone_hold_no_place_for_ever() -> None:
    """Beyond the most at once nobody new is taken, until half an hour has passed without the others."""
    fold, resources = PointFold(WindowConfig()), decode_metrics(request_of({CPU.metric: 1.0})).resources
    for number in range(MOST_TENANTS):
        fold.take(f"tenant-{number}", resources, ONSET_NS)
    fold.take("one-too-many", resources, ONSET_NS)
    assert len(fold.flush()) == MOST_TENANTS
    later_ns = ONSET_NS + 2 * KEEP_NS
    later = decode_metrics(request_of({CPU.metric: 1.0}, later_ns)).resources
    fold.take("tenant-0", later, later_ns)
    fold.take("one-too-many", later, later_ns)
    assert [tenant for tenant, _ in fold.flush()] == ["tenant-0", "one-too-many"]


def test_points_that_say_nothing_are_not_told() -> None:
    """No number or too large a one, nothing recorded, sent an hour later, or of the future."""
    assert tell((ONSET_NS, request_of({CPU.metric: 1.7e308}))) == []
    assert tell((ONSET_NS, request_of({CPU.metric: float("nan")}))) == []
    assert tell((ONSET_NS + 60 * MINUTE_NS, request_of({CPU.metric: 1.0}))) == []
    assert tell((ONSET_NS - 11 * MINUTE_NS, request_of({CPU.metric: 1.0}))) == []
    request = ExportMetricsServiceRequest.FromString(request_of({CPU.metric: 1.0}))
    request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].flags = 1
    assert tell((ONSET_NS, request.SerializeToString())) == []
    assert len(tell((ONSET_NS, request_of({CPU.metric: 1.0})))) == 1


def test_a_sum_is_a_counter_when_it_only_ever_grows() -> None:
    """Memory in use is a cumulative sum, too: its value is what is judged."""
    request = ExportMetricsServiceRequest.FromString(request_of({}))
    scope = request.resource_metrics[0].scope_metrics[0]
    for name, grows, temporality in (("time", True, 2), ("usage", False, 2), ("calls", True, 1), ("odd", True, 0)):
        metric = scope.metrics.add(name=name)
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = temporality, grows
        metric.sum.data_points.add(time_unix_nano=ONSET_NS, as_int=-5)
    told = tell((ONSET_NS, request.SerializeToString()))
    assert {(series.metric, series.is_counter) for series, _ in told} == {
        ("time", True), ("usage", False), ("calls", False)
    }  # fmt: skip
    assert {point.value for _, point in told} == {-5.0}


def test_a_metric_that_is_broken_down_by_requests_is_passed_over() -> None:
    """More attribute sets than an instance has of anything that explains."""
    request = ExportMetricsServiceRequest.FromString(request_of({}))
    for name, points in (("few", MOST_POINTS), ("many", MOST_POINTS + 1)):
        gauge = request.resource_metrics[0].scope_metrics[0].metrics.add(name=name).gauge
        for number in range(points):
            point = gauge.data_points.add(time_unix_nano=ONSET_NS, as_int=1)
            point.attributes.add(key="route").value.string_value = str(number)
    assert {series.metric for series, _ in tell((ONSET_NS, request.SerializeToString()))} == {"few"}


def test_a_fold_tells_no_more_series_than_are_kept_and_the_same_ones() -> None:
    """So a service with a thousand metrics costs what one with few does."""
    many = {f"orders.of.kind.{number}": 1.0 for number in range(300)}
    told = tell((ONSET_NS, request_of(many)), (ONSET_NS + MINUTE_NS, request_of({CPU.metric: 1.0} | many)))
    kept = TenantCourses()
    kept.step(told)
    last = {series for series, point in told if point.arrival_ns > ONSET_NS}
    assert len(last) == MOST_SERIES
    assert {one.series for one in told_of(kept)} <= last | {CPU}


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x94\x01\xa1t\xc2\x91\x90", b"\x01"])
def test_a_record_that_is_none_is_refused(value: bytes) -> None:
    """By name, like all bad input."""
    with pytest.raises(BadPayload):
        read_told(value)


# -- what it weighs ----------------------------------------------------------------------------------------


def ranked(told: list[Told], as_of_ns: int = pane_start(12)) -> HypothesisSet:
    """Rank two services that are as slow as one another, and what their metrics did; both are called by a third."""
    picture = TenantPicture("acme")
    picture.step_points(told)
    for pane in range(-6, 12):
        bad = [score(SeriesKind.SELF_TIME, pane, since=0)] if pane >= 0 else []
        for service in ("cart", "pay"):
            picture.step(deviations(service, pane, bad, callers=("front",)))
        picture.step(deviations("front", pane, entry=True))
    event = IncidentEvent(
        event_id="inc-1-1", incident_id="inc-1", tenant="acme", sequence=1, kind="opened", at_ns=pane_start(3),
        onset_ns=pane_start(2), state=IncidentState.OPEN, severity=Severity.HIGH, title="something", services=[],
        impact=Impact(requests=1, failed_requests=0, share=0.0, services=1),
    )  # fmt: skip
    return rank(snapshot_of(picture, event, [], as_of_ns, 1))


PAY = CPU._replace(service="pay", instance="pay-1")


def metric_parts(ranking: HypothesisSet) -> dict[str, float]:
    """Return the part that metrics have in each score."""
    return {one.service: part.value for one in ranking.hypotheses for part in one.parts if part.name == "metrics"}


def test_of_two_that_are_as_slow_the_one_whose_cpu_went_up_is_named_first() -> None:
    """The hypothesis says what it was and what it is, and how to ask for it again."""
    calm, hot = [6.0, 6.4, 5.9, 6.2, 6.1, 6.3, 6.0, 5.8, 6.1, 6.2], [500.0, 480.0]
    before = ranked([])
    ranking = ranked([*minutes([*calm, 6.1, 6.2]), *minutes(calm + hot, PAY)])
    assert [one.service for one in before.hypotheses[:2]] == ["cart", "pay"], "by name: nothing tells them apart"
    assert ranking.hypotheses[0].service == "pay"
    assert metric_parts(ranking).keys() == {"pay"}
    evidence = [one for one in ranking.hypotheses[0].evidence if CPU.metric in one.summary]
    assert "500" in evidence[0].summary and "usually 6.1" in evidence[0].summary  # noqa: PT018 - one sentence
    assert "metric_points" in evidence[0].query


def test_what_moved_as_far_elsewhere_says_nothing() -> None:
    """Load moves everybody's CPU."""
    values = [6.0, 6.4, 5.9, 6.2, 6.1, 6.3, 6.0, 5.8, 6.1, 6.2, 500.0, 480.0]
    assert metric_parts(ranked([*minutes(values), *minutes(values, PAY)])) == {}


def test_a_metric_accuses_nobody_by_itself() -> None:
    """Of the caller nothing else is known to be wrong."""
    front = CPU._replace(service="front", instance="front-1")
    ranking = ranked(minutes([6.0] * 10 + [500.0, 500.0], front))
    assert {one.service for one in ranking.hypotheses} == {"cart", "pay"}


def test_a_ranking_as_of_an_instant_is_the_same_when_more_is_known() -> None:
    """A worker may have read the metrics of later minutes before it makes the ranking of an earlier one."""
    values = [6.0, 6.4, 5.9, 6.2, 6.1, 6.3, 6.0, 5.8, 6.1, 6.2, 500.0, 480.0, 490.0, 6.0]
    as_of_ns = pane_start(8)
    known = [one for one in minutes(values) if one[1].arrival_ns <= as_of_ns]
    assert ranked(minutes(values), as_of_ns) == ranked(known, as_of_ns)
