"""The page of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streams.rankers import Panel
from streams.scoring import Fault, FaultScore, Opened, RecordingScore
from topologies.comparing import METHODS, accuracies, add_up
from topologies.report import intervals, wilson, write_report

SCORE = RecordingScore(
    faults=(
        FaultScore(Fault("one", 1000.0, "cart", "delay"), Opened("a", 1040.0, "cart is slow"), 40.0, 1),
        FaultScore(Fault("two", 2000.0, "gone", "error"), None),
    ),
    false_alarms=(),
    fault_free_hours=1.0,
)


def test_the_wilson_interval_is_that_of_the_literature() -> None:
    """28 of 29: the interval without continuity correction (checked against the closed formula)."""
    z, n, k = 1.959964, 29, 28
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (k * (n - k) / n + z * z / 4) ** 0.5
    assert wilson(k, n) == pytest.approx((middle - half, middle + half), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_miss_counts_in_every_interval() -> None:
    """One of two found and named first."""
    assert intervals(SCORE).keys() == {"recall", "ac_1", "ac_3"}
    assert intervals(SCORE)["ac_1"] == intervals(SCORE)["recall"]


def test_the_page_has_figures_methods_and_a_plot_for_each_fault(tmp_path: Path) -> None:
    """Also for a fault at a service that was never seen."""
    ones = np.ones((1, 30))
    panel = Panel(["cart"], (np.arange(30, dtype=np.int64) * 10 + 900) * 10**9, ones, ones, ones * np.nan, ones * 0, {})
    places = add_up([{method: [1, 0] for method in METHODS}])
    ablation = {"nothing": accuracies([1, 0]), "gap": accuracies([0, 0])}
    page = write_report(tmp_path / "report", {"shop": SCORE}, SCORE, {"shop": panel}, places, ablation).read_text()
    assert "| gap | 0.0 | 0.0 | 0.0 |" in page
    assert "delay at cart: found after 40 s; named 1." in page
    assert "error at gone: not found." in page
    assert "| MicroRank | 0.5 | 0.5 | 0.5 |" in page
    for picture in ("shop-one.svg", "shop-two.svg"):
        assert f"({picture})" in page
        assert "<svg" in (tmp_path / "report" / picture).read_text()


def test_accuracy_of_nothing_is_nothing() -> None:
    """A quiet recording has no faults to name."""
    assert accuracies([]) == {"ac_1": None, "ac_3": None, "avg_5": None}
    assert accuracies([1, 3, 0])["ac_3"] == pytest.approx(0.6667)
