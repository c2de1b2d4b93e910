"""A bench for one stage: a Faust agent on a channel, a producer that keeps what it is sent, no broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faust.types import TP
from faust.types.tuples import Message as FaustMessage

from schemas.health import ServiceHealth
from schemas.settings import Settings
from sinks.kafka.producer import Message
from streams.progress import Progress
from streams.windows import WindowConfig
from topologies.app import StreamApp, make_app
from topologies.wiring import Wiring


@dataclass
class RecordingProducer:
    """Keeps records in the order they were confirmed."""

    sent: list[Message] = field(default_factory=list)

    async def send_many(self, messages: list[Message]) -> None:
        """Keep the records."""
        self.sent += messages

    def values(self, topic: str, key: bytes | None = None) -> list[bytes]:
        """Return the values sent to a topic, of one key if given."""
        return [m.value or b"" for m in self.sent if m.topic == topic and key in (None, m.key)]


@dataclass
class RecordingClickHouse:
    """Keeps the rows that are inserted, by table."""

    inserted: dict[str, list[list[Any]]] = field(default_factory=dict)

    async def insert_rows(self, table: str, columns: Any, rows: Any, settings: Any = None) -> None:
        """Keep the rows."""
        self.inserted.setdefault(table, []).extend(rows)


@dataclass
class RecordingStores:
    """Stands where `sinks.stores.Stores` stands."""

    producer: RecordingProducer = field(default_factory=RecordingProducer)
    clickhouse: Any = field(default_factory=RecordingClickHouse)
    postgres: Any = None
    redis: Any = None


@dataclass
class RecordingPanes:
    """Keeps the newest picture of each pane, as ClickHouse does."""

    written: dict[tuple[str, str, int], ServiceHealth] = field(default_factory=dict)

    async def write_panes(self, panes: list[ServiceHealth]) -> None:
        """Keep the panes."""
        self.written.update({(pane.tenant, pane.service, pane.pane_start_ns): pane for pane in panes})


@dataclass
class RecordingClosed:
    """Keeps the checkpoints that a table keeps in a real worker."""

    saved: dict[TP, Progress] = field(default_factory=dict)

    def load(self, partition: TP) -> Progress | None:
        """Return the checkpoint."""
        return self.saved.get(partition)

    async def save(self, partition: TP, closed: Progress) -> None:
        """Keep the checkpoint."""
        self.saved[partition] = closed


class Bench:
    """One stage under test. ``give`` hands it records as the consumer would."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.settings = Settings(
            _env_file=None, kafka_brokers="127.0.0.1:1", data_dir=folder, partitions=2, flush_interval_s=0.01
        ).model_copy(update=changes)
        self.app: StreamApp = make_app(self.settings)
        self.app.finalize()
        self.stores = RecordingStores()
        self.panes = RecordingPanes()
        self.closed = RecordingClosed()
        self.wiring = Wiring(
            self.app,
            self.settings,
            WindowConfig.from_settings(self.settings),
            self.stores,  # type: ignore[arg-type]
            self.closed,  # type: ignore[arg-type]
            self.panes,  # type: ignore[arg-type]
        )
        self.begin(1)
        self._offsets: dict[TP, int] = {}
        self._channel: Any = None

    @property
    def producer(self) -> RecordingProducer:
        """What was sent."""
        return self.stores.producer

    def begin(self, generation: int) -> None:
        """Do what a rebalance does: a new generation, all states forgotten."""
        self.app.consumer_generation_id = generation
        self.app.floors.begin(generation)
        for forget in self.app.forget:
            forget()

    @asynccontextmanager
    async def running(self, stage: Any) -> AsyncIterator[None]:
        """Run the stage as an agent on a channel."""
        self._channel = self.app.channel()
        agent = stage.attach(channel=self._channel)
        async with agent.test_context(channel=self._channel):
            yield

    async def give(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = 0,
        headers: tuple[tuple[str, bytes], ...] = (),
        wall_ns: int = 0,
        offset: int | None = None,
    ) -> int:
        """Hand one record to the stage and return its offset."""
        place = TP(topic, partition)
        offset = self._offsets.get(place, 0) if offset is None else offset
        self._offsets[place] = offset + 1
        message: Any = FaustMessage(
            topic, partition, offset, wall_ns / 1e9, 0, headers, key, value, None, tp=place,
            generation_id=self.app.generation(),
        )  # fmt: skip
        await self._channel.put(self.app.create_event(key, value, headers, message))
        return offset

    async def until(self, condition: Callable[[], bool], patience_s: float = 60.0) -> None:
        """Let the agent work until ``condition`` holds; a failure of the stage ends the wait."""
        async with asyncio.timeout(patience_s):
            while not condition():
                assert self.app.failure is None, self.app.failure
                await asyncio.sleep(0.01)
