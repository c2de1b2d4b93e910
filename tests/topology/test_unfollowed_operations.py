"""What has no series of its own is counted where the baselines stage judges."""

from __future__ import annotations

from pathlib import Path

from faust.types import TP
from stage_bench import Bench

from schemas.health import OperationHealth
from schemas.keys import service_key
from schemas.losses import LossReason
from schemas.metric_names import OTHER_TENANTS
from schemas.topics import HEALTH
from streams.baselines import BaselineConfig
from tests.made_health import health, red
from topologies import metrics
from topologies.baselines import Baselines
from topologies.warm_start import WarmStarts


class MemoryTable:
    """Keeps states without a changelog."""

    def __init__(self) -> None:
        self.states: dict[bytes, bytes | None] = {}

    def stored(self, key: bytes) -> bytes | None:
        """Return the state."""
        return self.states.get(key)

    async def save(self, partition: int, states: dict[bytes, bytes | None]) -> None:
        """Keep states."""
        self.states |= states


def counted() -> float:
    """Return what /metrics says of requests without a series, of all tenants that this test uses."""
    labels = {metrics.tenant_label("acme"), OTHER_TENANTS}
    return sum(metrics.LOSSES.labels(label, LossReason.UNFOLLOWED)._value.get() for label in labels)


async def test_requests_of_operations_without_a_series_are_counted_by_the_stage(tmp_path: Path) -> None:
    """Two operations too many, of three requests each."""
    bench = Bench(tmp_path)
    stage = Baselines(bench.wiring, WarmStarts(None))  # type: ignore[arg-type]  # a replay asks nothing
    stage._shows_badges = False
    stage._table, stage._hours = MemoryTable(), MemoryTable()  # type: ignore[assignment]  # a changelog needs a broker
    most = BaselineConfig().max_operations
    listed = [
        OperationHealth(operation=f"GET /{number}", kind="server", pane=red(3), window=red(18))
        for number in range(most + 2)
    ]
    picture = health("cart", 0, 3 * (most + 2), driven=True).model_copy(update={"operations": listed})
    before = counted()
    async with bench.running(stage):
        key = service_key("acme", "cart")
        await bench.give(HEALTH.name, picture.model_dump_json().encode(), key=key)
        await bench.until(lambda: bench.app.floors.floor(TP(HEALTH.name, 0)) == 1)
    assert counted() == before + 6
