"""Where reading begins after a rebalance, what a poll brings and when it ends, and recovery without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata
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


@dataclass
class Fetcher:
    """An aiokafka consumer that is its own fetcher and own subscriptions. What it is asked for never comes."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    sought: list[TP] = field(default_factory=list)
    _closed: bool = False

    @property
    def _fetcher(self) -> Fetcher:
        return self

    @property
    def _subscriptions(self) -> Fetcher:
        return self

    def fetch_context(self) -> AbstractContextManager[None]:
        """Return what a fetch runs in."""
        return nullcontext()

    async def fetched_records(self, _: set[TP], **__: Any) -> dict[TP, list[Any]]:
        """Wait."""
        self.asked.set()
        await asyncio.Event().wait()
        return {}

    def seek(self, partition: TP, _: int) -> None:
        """Note it."""
        self.sought.append(partition)

    async def position(self, _: TP) -> int:
        """Return where a partition is."""
        return 0


class Polls:
    """A consumer thread that brings one record a poll, and whose group has committed `KNOWN`; Faust's fetcher, too."""

    def __init__(self, *offsets: int) -> None:
        self._left = list(offsets)
        self._stopped = asyncio.Event()

    async def getmany(self, *_: Any) -> dict[TP, list[Any]]:
        """Return the next record, or stop the fetcher."""
        if not self._left:
            self._stopped.set()
            return {}
        return {TP(*KNOWN): [ConsumerRecord(*KNOWN, self._left.pop(0), 0, 0, None, b"", None, 0, 0, ())]}

    async def rewind(self, _: Iterable[TopicPartition]) -> dict[TP, int | None]:
        """Return what is committed."""
        return {TP(*KNOWN): 7}

    def assignment(self) -> set[TP]:
        """Return what it reads."""
        return {TP(*KNOWN)}

    def highwater(self, _: TP) -> int:
        """Return where the partition ends."""
        return 100


@pytest.fixture
def app(tmp_path: Path) -> StreamApp:
    """Return an app that is not started."""
    made = make_app(Settings(_env_file=None, kafka_brokers="127.0.0.1:1", data_dir=tmp_path))
    made.finalize()
    return made


async def test_a_partition_without_a_commit_is_told_of_too(app: StreamApp) -> None:
    """Else it would stay where it is, and lanes would not know where to begin."""
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


async def test_what_is_read_again_is_handed_on_though_a_poll_of_before_ends_after_the_rewind(app: StreamApp) -> None:
    """Faust notes the offset it has just handed on, whatever came between, and drops what is before that."""
    consumer: Any = app.consumer
    app.floors.reader("stage", KNOWN.topic)
    consumer._thread = polls = Polls(40, 7, 8)
    consumer._set_active_tps(polls.assignment())
    handed_on = []

    async def take(message: Any) -> None:
        handed_on.append(message.offset)
        if message.offset == 40:
            await consumer.perform_seek()
            consumer.resume_flow()

    consumer.callback = take
    await consumer._drain_messages(polls)
    assert handed_on == [40, 7, 8]


async def test_no_poll_crosses_a_seek(app: StreamApp) -> None:
    """It would be answered from the new position while the flow stands, and Faust throws such an answer away."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    fetcher, changelog = Fetcher(), TP("closed-changelog", 0)
    polling = asyncio.create_task(thread._fetch_records(fetcher, {changelog}, timeout=1.0, max_records=9))
    async with asyncio.timeout(10):
        await fetcher.asked.wait()
        await thread._seek_wait(fetcher, {changelog: 3})
        assert (await polling, fetcher.sought) == ({}, [changelog])


async def test_no_poll_crosses_a_rewind(app: StreamApp) -> None:
    """What it brought would be of a position that holds no more."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    thread._consumer, fetcher = Client(), Fetcher()
    polling = asyncio.create_task(thread._fetch_records(fetcher, {TP(*KNOWN)}, timeout=1.0, max_records=9))
    async with asyncio.timeout(10):
        await fetcher.asked.wait()
        await thread._rewind([KNOWN])
        assert await polling == {}


async def test_a_poll_of_no_partition_brings_nothing(app: StreamApp) -> None:
    """To aiokafka it would be one of all partitions, also of those that stand still to be rewound."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    fetcher = Fetcher()
    assert await thread._fetch_records(fetcher, set(), timeout=1.0, max_records=9) == {}
    assert not fetcher.asked.is_set()


async def test_a_poll_that_waits_ends_when_a_buffer_has_room_again(app: StreamApp) -> None:
    """It does not ask for that partition, and would let it wait for a second."""
    consumer: Any = app.consumer
    thread = consumer._thread
    thread.thread_loop = asyncio.get_running_loop()
    consumer._set_active_tps({TP(*KNOWN), TP(*FRESH)})
    consumer.on_buffer_full(TP(*KNOWN))
    for room_again in (consumer.on_buffer_drop, lambda tp: consumer.resume_partitions([tp])):
        fetcher = Fetcher()
        polling = asyncio.create_task(thread._fetch_records(fetcher, {TP(*FRESH)}, timeout=1.0, max_records=9))
        async with asyncio.timeout(10):
            await fetcher.asked.wait()
            room_again(TP(*KNOWN))
            assert await polling == {}


async def test_with_all_buffers_full_the_first_that_has_room_is_polled(app: StreamApp) -> None:
    """Faust would sleep for a second, and ask for nothing."""
    consumer: Any = app.consumer
    consumer._thread.thread_loop = asyncio.get_running_loop()
    app.floors.reader("stage", KNOWN.topic)
    consumer._set_active_tps({TP(*KNOWN)})
    consumer.on_buffer_full(TP(*KNOWN))
    waiting = asyncio.create_task(consumer._wait_next_records(3_600.0))
    await asyncio.sleep(0)
    consumer.on_buffer_drop(TP(*KNOWN))
    consumer._thread = Polls(7)
    records, _ = await asyncio.wait_for(waiting, 10)
    assert set(records) == {TP(*KNOWN)}


@dataclass
class Bringing(Fetcher):
    """Brings at once two records of a size, and notes how many it was asked for at most."""

    size_bytes: int = 0
    most: list[int] = field(default_factory=list)

    async def fetched_records(self, wanted: set[TP], **options: Any) -> dict[TP, list[Any]]:
        """Bring them."""
        self.most.append(options["max_records"])
        record = ConsumerRecord(*KNOWN, 0, 0, 0, None, b"x" * self.size_bytes, None, 0, 0, ())
        return {TP(*KNOWN): [record] * 2 if self.size_bytes else []}


async def test_a_poll_brings_as_many_records_as_eight_mebibytes_hold(app: StreamApp) -> None:
    """All of them are unpacked before one is handed on. Small records and none at all are no reason to expect them."""
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    fetcher = Bringing()
    for size_bytes in (1 << 20, 10, 0, 16 << 20, 10, *[10] * 150):
        fetcher.size_bytes = size_bytes
        await thread._fetch_records(fetcher, {TP(*KNOWN)}, timeout=1.0, max_records=1_024)
    assert fetcher.most[:6] == [128, 8, 8, 8, 1, 1]
    assert fetcher.most[30] < fetcher.most[60] < fetcher.most[-1] == 1_024
