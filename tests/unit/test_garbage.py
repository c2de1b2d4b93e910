"""Looking for unreachable objects seldom, but not never."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from topologies.garbage import THRESHOLDS, collect_seldom


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def seldom() -> Iterator[None]:
    """Collect as a worker does, and afterwards as before."""
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_objects_that_only_refer_to_themselves_are_freed_in_the_end(seldom: None) -> None:
    """However many there are, no more stay than are made between two looks."""
    rings = [weakref.ref(Ring()) for _ in range(2 * THRESHOLDS[0])]
    assert 0 < sum(ring() is not None for ring in rings) <= THRESHOLDS[0]
