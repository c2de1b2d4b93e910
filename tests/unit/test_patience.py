"""Insisting on a store: again while it is away, never after a refusal, not for a lane that ended."""

from dataclasses import dataclass

import pytest

from schemas.errors import StoreRejected, StoreUnavailable
from topologies.patience import LaneEndedError, insist, waiting_for_stores


@dataclass
class Store:
    """Fails the first ``failures`` calls with ``error``."""

    failures: int
    error: Exception
    calls: int = 0
    waited: bool = False

    async def __call__(self) -> str:
        """Answer, or fail."""
        self.calls += 1
        self.waited = self.waited or waiting_for_stores()
        if self.calls <= self.failures:
            raise self.error
        return "stored"


async def test_store_that_comes_back_gets_the_call() -> None:
    """Two failures are waited out, and the wait is visible to the watchdog."""
    store = Store(2, StoreUnavailable("away"))
    assert await insist("clickhouse", "land", store, lambda: True) == "stored"
    assert store.calls == 3
    assert store.waited
    assert not waiting_for_stores()


async def test_refusal_is_not_tried_again() -> None:
    """`StoreRejected` passes through at once."""
    store = Store(1, StoreRejected("never"))
    with pytest.raises(StoreRejected):
        await insist("clickhouse", "land", store, lambda: True)
    assert store.calls == 1


async def test_work_for_a_lane_that_ended_is_given_up() -> None:
    """A reassigned partition's retry ends instead of holding up the rebalance."""
    with pytest.raises(LaneEndedError):
        await insist("clickhouse", "land", Store(9, StoreUnavailable("away")), lambda: False)
