"""Compiled grouping and hashing against what they stand for: a sort, and numpy's arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.grouping import groups_of
from streams.kernels.compiled import IS_COMPILED
from streams.mixing import hashes_of

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here")

KEYS = st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), max_size=200)
IDS = st.lists(st.tuples(*(st.sampled_from([0, 1]) | st.integers(0, 2**64 - 1) for _ in range(4))), max_size=50)


@given(KEYS)
def test_compiled_groups_are_those_of_a_sort(keys: list[int]) -> None:
    """First and last row, count and number of each key, the keys in ascending order."""
    column = np.array(keys, dtype=np.int64)
    compiled, plain = groups_of(column, True), groups_of(column, False)
    for one, other in zip(compiled, plain, strict=True):
        assert one.tolist() == other.tolist()
    assert column[plain.first].tolist() == sorted(set(keys))
    assert plain.counts.tolist() == [keys.count(key) for key in sorted(set(keys))]


@given(IDS)
def test_compiled_hashes_are_those_of_numpy(ids: list[tuple[int, int, int, int]]) -> None:
    """Traces, spans and parents; a root's parent is 0."""
    columns = np.array(ids, dtype=np.uint64).reshape(-1, 4).T.copy()
    compiled, plain = hashes_of("acme", *columns, True), hashes_of("acme", *columns, False)
    for one, other in zip(compiled, plain, strict=True):
        assert one.tolist() == other.tolist()
    assert all(parent == 0 for parent, row in zip(plain.parent.tolist(), ids, strict=True) if row[3] == 0)
