"""What is fitted to rankings of known faults, on made choices whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from schemas.snapshots import RankingSnapshot
from streams.hypotheses.fitting import (
    NOBODY,
    Case,
    Choice,
    Fit,
    fit_certainty,
    fit_weights,
    joined,
    left_out,
    places_without,
    reliability,
    vector_of,
)
from streams.hypotheses.weights import PARTS, WEIGHTS

SHIPPED = vector_of(WEIGHTS)
NAMES = list(PARTS)


def choice(parts: Sequence[dict[str, float]], truth: int, recording: str = "one") -> Choice:
    """Return a choice among suspects with these parts."""
    return Choice(recording, np.array([[one.get(name, 0.0) for name in NAMES] for one in parts]), truth)


def made(fit: Fit, count: int, seed: int = 1) -> list[Choice]:
    """Return choices among four suspects whose truth follows a fit."""
    noise = np.random.default_rng(seed)
    choices = []
    for number in range(count):
        parts = noise.exponential(0.5, (4, len(NAMES))) * (noise.random((4, len(NAMES))) < 0.3)
        one = Choice(f"recording {number % 10}", parts, 0)
        truth = int(noise.choice(5, p=fit.chances(one)))
        choices.append(Choice(one.recording, parts, truth if truth < 4 else NOBODY))
    return choices


def test_certainty_and_nobody_are_found_again() -> None:
    """From choices that were made with them, as many as leave chance half of what is allowed."""
    found = fit_certainty(SHIPPED, made(Fit(SHIPPED, 3.0, 0.8), 6_000))
    assert found.certainty == pytest.approx(3.0, rel=0.15)
    assert found.nobody == pytest.approx(0.8, abs=0.1)


def test_a_part_that_tells_more_than_was_thought_gains_weight() -> None:
    """And none becomes negative."""
    truth = SHIPPED.copy()
    truth[NAMES.index("spectrum")] *= 4
    found = fit_weights(SHIPPED, made(Fit(truth, 3.0, 0.5), 300))
    assert found.weights[NAMES.index("spectrum")] > 2 * SHIPPED[NAMES.index("spectrum")]
    assert (found.weights >= 0).all()


def test_few_faults_leave_the_weights_near_those_shipped() -> None:
    """A single one moves none of them by half."""
    one = choice([{"gap": 1.0}, {"self_time": 1.2}], truth=0)
    assert fit_weights(SHIPPED, [one]).weights == pytest.approx(SHIPPED, rel=0.5)


def test_a_recording_is_judged_by_a_fit_that_has_not_seen_it() -> None:
    """Each one by the others."""
    choices = [choice([{"gap": 1.0}], 0, name) for name in ("one", "two", "two", "three")]
    seen: list[set[str]] = []

    def fitter(some: Sequence[Choice]) -> Fit:
        seen.append({one.recording for one in some})
        return Fit(SHIPPED, float(len(some)), 0.0)

    fits = left_out(choices, fitter)
    assert [fit.certainty for fit in fits] == [3.0, 2.0, 2.0, 3.0]
    assert sorted(map(sorted, seen)) == [["one", "three"], ["one", "two"], ["three", "two"]]


def test_without_the_only_part_that_speaks_against_it_the_truth_is_not_named() -> None:
    """And without another's part it comes first."""
    places = places_without(choice([{"log_errors": 0.5}, {"gap": 0.8}], truth=0), WEIGHTS)
    assert (places["self_time"], places["gap"], places["log_errors"]) == (2, 1, 0)


def test_ties_are_broken_by_the_order_of_the_names() -> None:
    """As the ranking does."""
    parts = [{"gap": 1.0}, {"gap": 1.0}]
    assert [choice(parts, truth).place(SHIPPED) for truth in (0, 1)] == [1, 2]


def test_a_truth_that_nothing_speaks_against_counts_as_nobody() -> None:
    """It costs what nobody's chance is."""
    fit = Fit(SHIPPED, 2.0, 0.5)
    hidden, nobody = choice([{}, {"gap": 1.0}], truth=0), choice([{}, {"gap": 1.0}], truth=NOBODY)
    assert fit.loss([hidden]) == fit.loss([nobody]) > 0
    assert fit.chances(hidden).sum() == pytest.approx(1.0)


def case(recording: str, fault_id: str) -> Case:
    """Return a case of a fault, with nothing seen."""
    empty = RankingSnapshot(
        tenant="acme", incident_id="inc", version=1, as_of_ns=0, onset_ns=0, start_ns=0, end_ns=0, nodes=[], deploys=[]
    )
    return Case(recording, fault_id, "cart", empty)


def test_recordings_that_tell_of_one_fault_are_left_out_together() -> None:
    """Also when they share it by way of a third; others stay alone."""
    cases = [case("c", "1"), case("b", "1"), case("b", "2"), case("a", "2"), case("alone", "3")]
    assert [one.recording for one in joined(cases)] == ["a", "a", "a", "a", "alone"]


def test_a_reliability_table_holds_what_was_said_beside_what_was_true() -> None:
    """Choices that were made with a fit are at fault as often as it says; one that is too sure is found out."""
    fit = Fit(SHIPPED, 3.0, 0.8)
    choices = made(fit, 3_000)
    for one in reliability(choices, [fit] * len(choices)):
        assert one.true == pytest.approx(one.said, abs=0.06)
    sure = Fit(SHIPPED, 20.0, 0.1)
    highest = reliability(choices, [sure] * len(choices))[-1]
    assert highest.said > 0.97 > highest.true + 0.1
    assert sum(one.suspects for one in reliability(choices, [fit] * len(choices))) > 3_000
