"""Services that are new here: looked up once, beside the stream, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from faust.types import TP
from stage_bench import Bench

from schemas.errors import StoreRejected, StoreUnavailable
from schemas.health import ServiceHealth
from schemas.keys import service_key
from schemas.topics import HEALTH
from streams.baselines.hour_cells import WEEK_H, HourCells
from tests.made_health import health, pane_start
from topologies.baselines import Baselines
from topologies.warm_start import MAX_WAITING, Newcomer, WarmStarts

HOUR_NS = 3_600_000_000_000
HOUR = pane_start(0) // HOUR_NS


class AnsweringClickHouse:
    """Answers with two weeks of one hour's traffic, after it has failed as often as told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked: list[tuple[str, str]] = []

    async def ask(self, sql: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Answer for services, not for their parts."""
        if "service_minutes" not in sql:
            return []
        self.asked.append((parameters["tenant"], parameters["service"]))
        if self.failures:
            raise self.failures.pop(0)
        hours = [(HOUR - WEEK_H * week, 600.0, 600.0) for week in (1, 2)]
        return [{"latency": [], "traffic": hours, "failures": []}]


class MemoryTable:
    """Keeps states as a changelogged table does."""

    def __init__(self) -> None:
        self.states: dict[bytes, bytes | None] = {}

    def stored(self, key: bytes) -> bytes | None:
        """Return the state."""
        return self.states.get(key)

    async def save(self, partition: int, states: Mapping[bytes, bytes | None]) -> None:
        """Keep the states."""
        self.states.update(states)


@asynccontextmanager
async def answering(clickhouse: AnsweringClickHouse) -> AsyncIterator[WarmStarts]:
    """Run warm starts with hardly a pause after a failure."""
    warm: Any = WarmStarts(clickhouse, pause_s=0.01)  # type: ignore[arg-type]  # answers what is asked here
    running = asyncio.create_task(warm.run())
    yield warm
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what the task does has no event
            await asyncio.sleep(0.01)


def newcomer(service: str = "cart") -> Newcomer:
    """Return a service in its first pane."""
    return Newcomer("acme", service, pane_start(0), 10)


async def test_a_service_is_looked_up_once_and_its_answer_is_taken_once() -> None:
    """However often its panes ask; traffic comes in requests a pane."""
    clickhouse, found = AnsweringClickHouse(), []
    async with answering(clickhouse) as warm:

        def fetched() -> bool:
            warm.ask([newcomer(), newcomer()])
            found.append(warm.fetch(newcomer().key))
            return found[-1] is not None

        await until(fetched)
        assert found[-1] == {"request_rate\x1f\x1f": [(HOUR - 168, 100.0, 100.0), (HOUR - 336, 100.0, 100.0)]}
        assert warm.fetch(newcomer().key) is None
    assert clickhouse.asked == [("acme", "cart")]


async def test_a_store_that_is_away_is_asked_again_and_one_that_refuses_is_not() -> None:
    """The service's next pane asks; meanwhile others are answered."""
    clickhouse = AnsweringClickHouse(StoreUnavailable("away"), StoreRejected("no such table"))
    async with answering(clickhouse) as warm:

        def fetched() -> bool:
            warm.ask([newcomer("cart"), newcomer("payments")])
            return warm.fetch(newcomer("cart").key) is not None

        await until(fetched)
        warm.ask([newcomer("payments"), newcomer("mail")])
        await until(lambda: warm.fetch(newcomer("mail").key) is not None)
    assert clickhouse.asked == [("acme", name) for name in ("cart", "payments", "cart", "mail")]


async def test_a_full_queue_puts_the_question_off() -> None:
    """It is bounded; who found no room asks with the next pane."""
    clickhouse = AnsweringClickHouse()
    warm: Any = WarmStarts(clickhouse)  # type: ignore[arg-type]  # answers what is asked here
    warm.ask([newcomer(f"service-{number}") for number in range(MAX_WAITING + 1)])
    running = asyncio.create_task(warm.run())
    await until(lambda: len(clickhouse.asked) == MAX_WAITING)
    last = newcomer(f"service-{MAX_WAITING}")
    warm.ask([last])
    await until(lambda: warm.fetch(last.key) is not None)
    running.cancel()


async def test_the_stage_seeds_the_hours_and_keeps_them_but_asks_nothing_about_a_replay(tmp_path: Path) -> None:
    """A replayed tenant is judged by its own past alone, so that it gives what it gave."""
    bench, clickhouse = Bench(tmp_path), AnsweringClickHouse()
    async with answering(clickhouse) as warm:
        stage, hours = Baselines(bench.wiring, warm), MemoryTable()
        stage._shows_badges = False
        stage._table, stage._hours = MemoryTable(), hours  # type: ignore[assignment]  # a changelog needs a broker
        async with bench.running(stage):
            for number in range(1_000):
                replayed = health("replayed", number, driven=True)
                await bench.give(HEALTH.name, _raw(replayed), key=service_key("acme", "replayed"))
                await bench.give(HEALTH.name, _raw(health("cart", number)), key=service_key("acme", "cart"))
                await bench.until(lambda given=2 * number + 2: bench.app.floors.floor(TP(HEALTH.name, 0)) == given)
                if hours.states:
                    break
    cells = HourCells.decode(hours.states[service_key("acme", "cart")])
    assert cells.is_seeded
    assert cells.are_ready(pane_start(4))
    assert clickhouse.asked == [("acme", "cart")]


def _raw(picture: ServiceHealth) -> bytes:
    return picture.model_dump_json().encode()
