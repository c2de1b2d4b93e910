"""The point detector: what is unlike its past, once an episode; and which metrics of a service went off."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.queries import MetricSeries
from streams.points import PointConfig, alarms, off_metrics, surprises

CONFIG = PointConfig()
MINUTE_NS = 60 * 10**9
ONSET_NS = 1_000 * MINUTE_NS


def noise(points: int, seed: int = 1) -> NDArray[np.float64]:
    """Return calm values around ten."""
    return np.random.default_rng(seed).normal(10.0, 1.0, points)


def found(values: NDArray[np.float64]) -> list[int]:
    """Return where there are alarms."""
    return alarms(surprises(values, CONFIG), CONFIG)


def test_a_spike_is_an_alarm_at_its_own_point() -> None:
    """Not one later."""
    values = noise(600)
    values[500] = 30.0
    assert 500 in found(values)


def test_a_level_that_stays_is_one_alarm() -> None:
    """The rest of an episode is not news."""
    values = noise(600)
    values[500:] += 15.0
    assert [place for place in found(values) if place >= 500] == [500]


def test_an_order_that_is_lost_is_seen_though_every_value_is_usual() -> None:
    """A saw-tooth that stands still in the middle of its range."""
    values = np.arange(600) % 10.37 / 10.37 + np.random.default_rng(2).normal(0, 0.01, 600)
    values[500:508] = 0.5
    assert any(500 <= place < 510 for place in found(values))
    by_itself = PointConfig(shapes=(1,))
    assert not any(500 <= place < 510 for place in alarms(surprises(values, by_itself), by_itself))


def test_a_constant_series_is_calm_until_it_moves() -> None:
    """Also one of zeros."""
    for level in (0.0, 5.0):
        values = np.full(400, level)
        values[300:] = level + 1.0
        assert found(values) == [300]


def test_noise_is_nearly_always_calm() -> None:
    """Not more than one alarm in 500 points: what explains an incident may cry wolf, it opens none."""
    assert sum(len(found(noise(3_000, seed))) for seed in range(10)) <= 60


def test_what_is_said_of_a_point_does_not_depend_on_what_comes_after_it() -> None:
    """The detector streams."""
    values = noise(900)
    whole = surprises(values, CONFIG)
    for end in (100, 350, 899):
        assert surprises(values[:end], CONFIG) == pytest.approx(whole[:end], rel=1e-9)


@pytest.mark.parametrize("points", [0, 1, 7, 40])
def test_a_short_past_says_nothing(points: int) -> None:
    """Neither does an empty series."""
    assert surprises(noise(points), CONFIG).tolist() == [0.0] * points


def series(metric: str, values: NDArray[np.float64], is_cumulative: bool = False) -> MetricSeries:
    """Return a metric with one point a minute, ten of them since the onset."""
    times = [ONSET_NS + (number - len(values) + 10) * MINUTE_NS for number in range(len(values))]
    return MetricSeries(
        metric=metric, unit="1", is_cumulative=is_cumulative, instance="a", attributes={}, unix_nano=times,
        values=values.tolist(),
    )  # fmt: skip


def spiked() -> NDArray[np.float64]:
    """Return values that went off since the onset."""
    values = noise(190)
    values[-8:] = 95.0
    return values


def test_the_metric_that_went_off_is_told_with_what_is_usual() -> None:
    """The calm one is not told."""
    (change,) = off_metrics([series("calm", np.full(190, 3.0)), series("cpu", spiked())], ONSET_NS)
    assert (change.metric, change.value, change.since_ns) == ("cpu", 95.0, ONSET_NS + 2 * MINUTE_NS)
    assert 9.0 < change.usual < 11.0


def test_a_counter_is_judged_by_its_rate_and_may_begin_anew() -> None:
    """A steady climb is calm, also over a restart; climbing ten times as fast is not."""
    steady = np.cumsum(np.full(190, 60.0))
    steady[100:] -= steady[100]
    assert off_metrics([series("steady", steady, True)], ONSET_NS) == []
    faster = np.cumsum(np.where(np.arange(190) < 185, 60.0, 600.0))
    (change,) = off_metrics([series("faster", faster, True)], ONSET_NS)
    assert (change.usual, change.value, change.is_rate) == (1.0, 10.0, True)


@pytest.mark.parametrize("shift_min", [-400, 200])
def test_a_metric_without_a_past_or_a_present_says_nothing(shift_min: int) -> None:
    """It ended before the onset, or came with it."""
    cpu = series("cpu", spiked())
    moved = cpu.model_copy(update={"unix_nano": [at_ns + shift_min * MINUTE_NS for at_ns in cpu.unix_nano]})
    assert off_metrics([moved], ONSET_NS) == []


def test_what_went_off_long_before_the_onset_is_no_evidence() -> None:
    """An hour before it, and back to usual since."""
    values = noise(190)
    values[100:104] = 95.0
    assert off_metrics([series("cpu", values)], ONSET_NS) == []


@pytest.mark.parametrize("is_cumulative", [False, True])
def test_the_largest_numbers_there_are_harm_nobody(is_cumulative: bool) -> None:
    """A limit that means "none", beyond what can be squared; and a counter that steps over all that a number can be."""
    values = noise(190) * 1e305
    values[-8:] = 1.7e308
    found = off_metrics([series("limit", values, is_cumulative), series("cpu", spiked(), False)], ONSET_NS)
    assert "cpu" in [change.metric for change in found]
    assert all(np.isfinite([change.value, change.usual]).all() for change in found)
    wide = np.where(np.arange(190) % 2 == 0, -1.7e308, 1.7e308)
    assert off_metrics([series("wide", wide, True)], ONSET_NS) == []


def test_points_beyond_the_clock_are_passed_over() -> None:
    """Times are stored as they were sent."""
    cpu = series("cpu", spiked())
    cpu.unix_nano[50] = 2**64 - 1
    assert [change.metric for change in off_metrics([cpu], ONSET_NS)] == ["cpu"]
