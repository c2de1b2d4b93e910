"""The latency sketch keeps its error bound, whatever is put in."""

from __future__ import annotations

import math

import numpy as np
from batch_oracle import bin_of_one
from hypothesis import given
from hypothesis import strategies as st

from streams.latency import BIN_COUNT, VALUES_NS, Bins, bin_of, count_over, merge, quantile_ns, quantiles_ns, value_of

BOUND = 1 / 64 + 1e-6
"""Half a bin (1.6 %), and the rounding of float32."""

DURATIONS = st.integers(0, 2**63 - 1)


def sketch(durations: list[int]) -> Bins:
    """Count durations in bins."""
    bins, counts = np.unique(bin_of(np.array(durations, dtype=np.int64)), return_counts=True)
    return dict(zip(bins.tolist(), counts.tolist(), strict=True))


@given(st.lists(DURATIONS, min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_within_the_bound_of_the_exact_one(durations: list[int], q: float) -> None:
    """Nearest rank, as of the sorted list."""
    exact = sorted(durations)[max(1, math.ceil(q * len(durations) - 1e-9)) - 1]
    found = quantile_ns(sketch(durations), q)
    assert found is not None
    assert abs(found - exact) <= BOUND * exact


@given(st.lists(DURATIONS, min_size=1))
def test_bins_are_those_of_the_float_encoding_and_ascend(durations: list[int]) -> None:
    """The vectorised bins equal the scalar ones, order is kept, and all have a value."""
    durations.sort()
    bins = bin_of(np.array(durations, dtype=np.int64)).tolist()
    assert bins == [bin_of_one(duration) for duration in durations]
    assert bins == sorted(bins)
    assert all(0 <= found < len(VALUES_NS) <= BIN_COUNT for found in bins)


@given(st.lists(DURATIONS), st.lists(DURATIONS))
def test_merging_sketches_is_sketching_everything(first: list[int], second: list[int]) -> None:
    """Nothing depends on who saw what."""
    assert merge([sketch(first), sketch(second)]) == sketch(first + second)


def test_nothing_has_no_quantile() -> None:
    """An empty sketch says None, never NaN."""
    assert quantiles_ns({}, (0.5, 0.95)) == [None, None]


def test_negative_durations_count_as_zero_and_zero_is_zero() -> None:
    """Bin 0 is exactly 0."""
    assert bin_of(np.array([-5, 0], dtype=np.int64)).tolist() == [0, 0]
    assert value_of(0) == 0.0


@given(st.lists(st.integers(0, 10**12), max_size=50), st.integers(1, 10**11))
def test_what_counts_as_over_a_threshold_surely_is(durations: list[int], threshold_ns: int) -> None:
    """And all that is over by a bin, 3.1 % and the rounding of float32, counts."""
    surely = sum(duration >= threshold_ns * (1 - 1e-7) for duration in durations)
    clearly = sum(duration > threshold_ns * (1 + 1 / 32 + 1e-6) for duration in durations)
    assert clearly <= count_over(sketch(durations), threshold_ns) <= surely


def test_a_threshold_on_the_edge_of_a_bin_is_itself() -> None:
    """2**28 ns is 268 ms: the bin that begins there is over, the one before is not."""
    edge_ns = 2**28
    assert count_over(sketch([edge_ns - 20, edge_ns, edge_ns + 1]), edge_ns) == 2
    assert count_over(sketch([edge_ns, edge_ns + 5 * edge_ns // 100]), edge_ns + 1_000) == 1
