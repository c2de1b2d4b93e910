"""Numbers in sentences: as a person writes them, at any size."""

from __future__ import annotations

import pytest

from schemas.snapshots import MetricFinding
from streams.hypotheses.resources import move_in_words
from streams.incidents.words import amount


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.031, "ms", "0.031 ms"),
        (412.4, "ms", "412 ms"),
        (999.9, "ms", "1,000 ms"),
        (1_540, "ms", "1.5 s"),
        (99_999, "ms", "100 s"),
        (7_200_000, "ms", "7,200 s"),
        (0.417, "ratio", "41.7 %"),
        (12_345, "per_s", "12,300/s"),
        (14.4, "x", "14.4x"),
    ],
)
def test_amounts_have_no_exponents(value: float, unit: str, said: str) -> None:
    """Three digits, seconds two."""
    assert amount(value, unit) == said


@pytest.mark.parametrize(
    ("unit", "is_rate", "value", "usual", "said"),
    [
        ("By", False, 5.56e8, 2.1e8, "530 MiB (usually 200 MiB)"),
        ("By", True, 2048.0, 0.0, "2 KiB/s (usually 0 B/s)"),
        ("1", False, 0.116, 0.02, "0.116 (usually 0.02)"),
        ("1", True, 3.0, 1.0, "3/s (usually 1/s)"),
        ("s", True, 0.81, 0.013, "0.81 s/s (usually 0.013 s/s)"),
        ("{request}", False, 1234.0, 7.0, "1,230 {request} (usually 7 {request})"),
    ],
)
def test_metrics_have_units_that_people_use(unit: str, is_rate: bool, value: float, usual: float, said: str) -> None:
    """Bytes in multiples; what has no unit has none."""
    move = MetricFinding(
        metric="m", unit=unit, is_rate=is_rate, usual=usual, value=value, strength=1.0, points=3, known=9
    )  # fmt: skip
    assert move_in_words(move) == f"m {said}"
