"""The Faust app all stages run in, set up the way its traps demand, and how a stage becomes an agent of it.

::

    topics ──▶ one consumer, one group ──▶ agent (concurrency 1) ──▶ Taking ───────▶ Stage.handle(batch)
                     │                                                                   │
                     └── commits Floors.floor ◀── Lanes.report ◀─────────────────────────┘

- Raw bytes everywhere: a typed topic whose decoding fails would commit past the record.
- at_least_once; our floors make the second reading harmless. (exactly_once crashes and duplicates.)
- No web server of Faust's: it listens on all interfaces and serves table contents.
- Small buffers, bounded in bytes: a message is a parcel of records, and Faust's default holds 4096 messages a channel.
- No waiting for empty streams at a rebalance: a store outage would block it until the member is expelled.
- An unexpected exception in a stage is a bug: it is remembered in ``failure`` and ends the worker. Faust would
  acknowledge the batch and start the agent anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import faust
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from faust.tables.manager import TableManager
from faust.types import TP

from schemas.settings import Settings
from sinks.kafka.connection import client_settings, ssl_context
from sinks.kafka.ends import read_end_offsets
from topologies import metrics
from topologies.buffering import BoundedQueue
from topologies.offsets import CommitHealth, FloorConsumer, Floors, FloorTransport
from topologies.taking import BatchLimits, Taking

log = structlog.get_logger()

TRAILING_COMMITS_S = 6 * 3600.0
"""After so long Faust may complain of a partition without a commit: floors trail by design, half an hour of deviations
for one, and commits that stop are the watchdog's to see."""
COMMIT_INTERVAL_S = 1.0

POLL_RECORDS = 1_024
FETCH_BYTES = 4 << 20
"""What a poll may bring: in records of all topics, and in bytes of each partition. All topics share one consumer, and a
poll is handed out to the end even when a stage's buffer is full: what is over then holds up the small inner topics
until ingest has taken it."""

Handle = Callable[[Sequence[Any]], Awaitable[None]]
ReadEnds = Callable[[Iterable[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]]


class StreamApp(faust.App):
    """A Faust app with floors in place of acknowledgements, and a place for the first failure."""

    def __init__(self, name: str, *, batch_bytes: int, read_ends: ReadEnds, **options: Any) -> None:
        self.batch_bytes = batch_bytes
        self.read_ends = read_ends
        super().__init__(name, **options)
        self.floors = Floors()
        self.commit_health = CommitHealth()
        self.failed = asyncio.Event()
        self.failure: tuple[str, BaseException] | None = None
        self.forget: list[Callable[[], None]] = []

    def generation(self) -> int:
        """Return the present generation of the consumer group."""
        return int(self.consumer_generation_id)

    def assigned(self) -> list[TP]:
        """Return the partitions this worker has now."""
        try:
            return sorted(self.consumer.assignment())
        except ConsumerNotStarted:
            return []

    def recovered(self) -> bool:
        """Tell whether the tables of the present assignment are complete."""
        return cast(TableManager, self.tables).recovery.completed.is_set()

    def changes_to_recover(self) -> int | None:
        """Return how many changes of tables have to be read before anything else is; None outside of a recovery."""
        recovery = cast(TableManager, self.tables).recovery
        return int(recovery.active_remaining_total()) if recovery.in_recovery else None

    def committed(self, partition: TP) -> int | None:
        """Return the committed offset of an assigned partition as this worker knows it, or None."""
        return cast(FloorConsumer, self.consumer).committed_offset(partition)

    def lag(self, partition: TP, taken: int = 0) -> int | None:
        """Return how many records no stage, or not every stage, has handled yet; None while that is unknown.

        Those below ``taken`` are not counted.
        """
        position = self.floors.position(partition)
        if position is None:
            position = self.committed(partition) or 0
        position = max(position, taken)
        try:
            end = self.consumer.highwater(partition)
        except (AssertionError, IllegalStateError):  # not assigned (any more)
            return None
        return None if end is None else max(0, end - position)

    def fail(self, where: str, error: BaseException) -> None:
        """Remember the first failure; the worker ends because of it."""
        if self.failure is None:
            self.failure = (where, error)
            log.error("stage_failed", stage=where, error=repr(error), exc_info=error)
        self.failed.set()

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> BoundedQueue:
        """Make the buffer of a channel (Faust's name for it)."""
        return BoundedQueue(
            maxsize=maxsize,
            limit_bytes=self.batch_bytes,
            flow_control=self.flow_control,
            clear_on_resume=clear_on_resume,
        )

    def _new_transport(self) -> FloorTransport:
        return FloorTransport(self.conf.broker_consumer, self)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self.floors.begin(generation_id)
        for forget in self.forget:
            forget()
        metrics.REBALANCES.inc()
        topics = [tp.topic for tp in assigned]
        for topic in sorted(set(topics)):
            metrics.ASSIGNED.labels(topic).set(topics.count(topic))
        log.info("partitions_assigned", generation=generation_id, partitions=len(assigned))
        await super()._on_partitions_assigned(assigned, generation_id)


def make_app(settings: Settings) -> StreamApp:
    """Return the app for these settings; connects to nothing yet.

    Raises `SetupError` when the Kafka settings do not make sense together.
    """
    client_settings(settings)  # refuses what Faust would take silently, as SASL without TLS
    data_dir = settings.data_dir / "worker"
    data_dir.mkdir(parents=True, exist_ok=True)
    session_s = settings.session_timeout_s
    return StreamApp(
        settings.consumer_group,
        batch_bytes=settings.batch_bytes,
        read_ends=partial(read_end_offsets, settings),
        broker=[f"kafka://{broker.strip()}" for broker in settings.kafka_brokers.split(",")],
        broker_credentials=_credentials(settings),
        autodiscover=False,
        datadir=str(data_dir),
        store="memory://",
        table_standby_replicas=0,
        key_serializer="raw",
        value_serializer="raw",
        processing_guarantee="at_least_once",
        web_enabled=False,
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.kafka_replication,
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=128,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        recovery_consistency_check=False,  # for stores on disk: ours are in memory and read from the beginning
        broker_max_poll_records=POLL_RECORDS,
        broker_check_crcs=settings.kafka_check_crcs,
        consumer_max_fetch_size=FETCH_BYTES,
        broker_commit_interval=COMMIT_INTERVAL_S,
        broker_commit_livelock_soft_timeout=TRAILING_COMMITS_S,
        broker_session_timeout=session_s,
        broker_rebalance_timeout=session_s,
        broker_heartbeat_interval=max(session_s / 6, 0.5),
        broker_request_timeout=max(90.0, session_s + 30.0),
        producer_request_timeout=30.0,
        worker_redirect_stdouts=False,
    )


def _credentials(settings: Settings) -> Any:
    protocol = settings.kafka_security_protocol
    if protocol == "SSL":
        return faust.SSLCredentials(context=ssl_context(settings))
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            ssl_context=ssl_context(settings),
        )
    return None


def add_stage(
    app: StreamApp,
    name: str,
    topics: Sequence[str],
    handle: Handle,
    *,
    batch: int,
    within_s: float,
    channel: Any = None,
) -> Any:
    """Run ``handle`` over the batches of ``topics`` as an agent of ``app`` and return the agent.

    A batch has ``batch`` records or a parcel more, about ``batch_bytes`` (a setting) of values, and waits at most
    ``within_s`` for them. ``channel`` stands in for the topics in tests.
    """
    limits = BatchLimits(batch, app.batch_bytes, within_s)
    source = channel if channel is not None else app.topic(*topics, key_type=bytes, value_type=bytes)

    async def run(stream: Any) -> None:
        try:
            async for events in Taking(limits).batches(stream):
                with metrics.BATCH_SECONDS.labels(name).time():
                    await handle(events)
        except Exception as error:
            app.fail(name, error)
            await asyncio.Event().wait()  # until the worker ends: returning would let Faust start the agent anew

    return app.agent(source, name=name, concurrency=1)(run)
