"""The stages that judge panes: deviations first, then the state, then time."""

from __future__ import annotations

from pathlib import Path

from faust.types import TP
from stage_bench import Bench

from schemas.deviations import ServiceDeviations
from schemas.health import NodeKind, RedStats, ServiceHealth
from schemas.keys import PROGRESS_KEY, service_key, tenant_key
from schemas.topics import BASELINES_TABLE, DEVIATIONS, HEALTH
from streams.progress import Progress
from topologies.deviating import DeviationLane, DeviationStage

SECOND = 1_000_000_000
ACME = tenant_key("acme")
HEALTH_0 = TP(HEALTH.name, 0)


class CountingFold:
    """A fold whose state is the number of panes seen."""

    def step(self, state: bytes | None, health: ServiceHealth) -> tuple[bytes, ServiceDeviations | None]:
        """Count the pane."""
        count = int(state or b"0") + 1
        deviations = ServiceDeviations(
            tenant=health.tenant, service=health.service, node_kind=health.node_kind,
            pane_start_ns=health.pane_start_ns, revision=health.revision, state="learning", requests=count, errors=0,
            p95_ms=None,
        )  # fmt: skip
        return b"%d" % count, deviations


def pane(number: int, service: str = "cart") -> bytes:
    """Return one pane as its record's value."""
    stats = RedStats(requests=1, errors=0, rate_per_s=0.1, error_rate=0.0)
    return (
        ServiceHealth(
            tenant="acme", service=service, node_kind=NodeKind.SERVICE, pane_start_ns=number * 10 * SECOND, pane_s=10,
            window_s=60, revision=0, final=False, pane=stats, window=stats,
        )
        .model_dump_json()
        .encode()
    )  # fmt: skip


class MemoryTable:
    """Keeps states as the changelogged table does, and the order of its writes among the sends."""

    def __init__(self, bench: Bench) -> None:
        self.states: dict[bytes, bytes | None] = {}
        self.sent_before: list[int] = []
        self._bench = bench

    def stored(self, key: bytes) -> bytes | None:
        """Return the state."""
        return self.states.get(key)

    async def save(self, partition: int, states: dict[bytes, bytes | None]) -> None:
        """Keep the states."""
        assert partition == 0
        self.sent_before.append(len(self._bench.producer.values(DEVIATIONS.name, ACME)))
        self.states.update(states)


def stage_on(bench: Bench) -> tuple[DeviationStage[DeviationLane], MemoryTable]:
    """Return a stage with a counting fold and a table in memory."""
    stage = DeviationStage(bench.wiring, "counting", CountingFold(), BASELINES_TABLE, DeviationLane)
    table = MemoryTable(bench)
    stage._table = table  # type: ignore[assignment]  # a changelog needs a broker
    return stage, table


async def test_panes_become_deviations_and_the_state_follows(tmp_path: Path) -> None:
    """Each pane is judged with the state the pane before left, and the floor moves past both."""
    bench = Bench(tmp_path)
    stage, table = stage_on(bench)
    async with bench.running(stage):
        for number in range(3):
            await bench.give(HEALTH.name, pane(number), key=service_key("acme", "cart"))
        await bench.until(lambda: bench.app.floors.floor(HEALTH_0) == 3)
    told = [ServiceDeviations.model_validate_json(value) for value in bench.producer.values(DEVIATIONS.name, ACME)]
    assert [one.requests for one in told] == [1, 2, 3]
    assert table.states == {service_key("acme", "cart"): b"3"}
    assert table.sent_before[-1] == 3, "the state must not be ahead of what was sent"


async def test_progress_is_passed_on_under_the_stages_own_name_to_every_partition(tmp_path: Path) -> None:
    """The incident stage waits for both judging stages, so each has a source name of its own."""
    bench = Bench(tmp_path)
    stage, _ = stage_on(bench)
    async with bench.running(stage):
        await bench.give(HEALTH.name, Progress("telemetry.rollups/0", 7 * SECOND).encode(), key=PROGRESS_KEY)
        await bench.until(lambda: len(bench.producer.values(DEVIATIONS.name, PROGRESS_KEY)) == 2)
    progress = [Progress.decode(value) for value in bench.producer.values(DEVIATIONS.name, PROGRESS_KEY)]
    assert progress == [Progress("health/0#counting", 7 * SECOND)] * 2


async def test_unreadable_record_is_passed_over(tmp_path: Path) -> None:
    """Garbage on a public topic stops nothing."""
    bench = Bench(tmp_path)
    stage, _ = stage_on(bench)
    async with bench.running(stage):
        await bench.give(HEALTH.name, b"{not json")
        await bench.give(HEALTH.name, None)
        await bench.give(HEALTH.name, pane(1))
        await bench.until(lambda: bench.app.floors.floor(HEALTH_0) == 3)
    assert len(bench.producer.values(DEVIATIONS.name, ACME)) == 1


async def test_rebalance_forgets_the_lane_and_drops_what_was_on_its_way(tmp_path: Path) -> None:
    """Events of the old generation are dropped; the new one starts at its own first record."""
    bench = Bench(tmp_path)
    stage, table = stage_on(bench)
    async with bench.running(stage):
        await bench.give(HEALTH.name, pane(1))
        await bench.until(lambda: bench.app.floors.floor(HEALTH_0) == 1)
        bench.begin(2)
        assert bench.app.floors.floor(HEALTH_0) is None
        await bench.give(HEALTH.name, pane(1), offset=0)
        await bench.until(lambda: bench.app.floors.floor(HEALTH_0) == 1)
    assert table.states[service_key("acme", "cart")] == b"2"
