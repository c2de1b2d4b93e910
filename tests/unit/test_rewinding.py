"""Where reading begins after a rebalance, and what the recovery of tables does without an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from topologies import offsets
from topologies.app import StreamApp, make_app
from topologies.patience import LaneEndedError

KNOWN, FRESH = TopicPartition("otel.traces", 0), TopicPartition("otel.traces", 1)


@dataclass
class Client:
    """An aiokafka consumer whose group has committed one partition. It is its own coordinator."""

    sought: dict[TopicPartition, int | None] = field(default_factory=dict)
    is_assigned: bool = True

    @property
    def _coordinator(self) -> Client:
        return self

    async def fetch_committed_offsets(self, _: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what is committed."""
        return {KNOWN: OffsetAndMetadata(7, "")}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Note where to; as aiokafka does between two assignments, if there is none."""
        assert self.is_assigned
        self.sought[partition] = offset

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Note where to."""
        self.sought |= dict.fromkeys(partitions)


@pytest.fixture
def app(tmp_path: Path) -> StreamApp:
    """Return an app that is not started."""
    made = make_app(Settings(_env_file=None, kafka_brokers="127.0.0.1:1", data_dir=tmp_path))
    made.finalize()
    return made


async def test_a_partition_without_a_commit_is_told_of_too(app: StreamApp) -> None:
    """Faust would keep the offset it had read to, and drop every record before it."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    thread._consumer = client = Client()
    assert await thread._rewind([KNOWN, FRESH]) == {TP(*KNOWN): 7, TP(*FRESH): None}
    assert client.sought == {KNOWN: 7, FRESH: None}


async def test_a_rewind_that_another_rebalance_overtakes_ends_no_worker(app: StreamApp) -> None:
    """That one rewinds."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    thread._consumer = Client(is_assigned=False)
    assert await thread._rewind([KNOWN]) == {TP(*KNOWN): 7}


async def test_a_recovery_that_learns_no_ends_ends_the_worker(app: StreamApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would give it up without a word, and the worker would read nothing for ever."""

    async def away(_: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        raise StoreUnavailable("no broker")

    monkeypatch.setattr(offsets, "ENDS_PATIENCE_S", 0.0)
    app.read_ends = away
    with pytest.raises(LaneEndedError):
        await app.consumer.highwaters(TP(*KNOWN))
    assert app.failure is not None
