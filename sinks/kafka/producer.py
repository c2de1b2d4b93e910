"""Sending with a confirmed write.

What is in doubt after the delivery time-out may be written after all, so callers may send again: everything
downstream replaces by key and version (docs/architecture.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    for_code,
)
from aiokafka.protocol.transaction import InitProducerIdRequest

from schemas.errors import BadPayload, RejectReason, StoreError, StoreRejected, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import ALL_TOPICS
from sinks.kafka.compressing import USUAL_CODEC, compress_by_topic
from sinks.kafka.connection import client_settings, store_error

Headers = Sequence[tuple[str, bytes]]
"""Kafka record headers, in order; a name may occur twice."""

RECORD_OVERHEAD_BYTES: Final = 1024
"""Room left below a topic's ``max.message.bytes`` for the batch and record framing."""

_PRODUCER_ID_TRIES: Final = 50
_PRODUCER_ID_PAUSE_S: Final = 0.2

_TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError)
_LIMIT_BYTES: Final = {topic.name: topic.max_message_bytes for topic in ALL_TOPICS}


@dataclass(frozen=True, slots=True)
class Message:
    """A record to be sent by `Producer.send_many`."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """Where the broker has written a record."""

    topic: str
    partition: int
    offset: int


class Producer:
    """Sends records and waits for the acknowledgement of all in-sync replicas.

    Idempotent where the broker can be (Apache Kafka can, the embedded broker cannot). Compressed by topic, see
    `sinks.kafka.compressing`. A full buffer makes `send` wait, so memory stays bounded. Use as an async context
    manager, or call `start` and `stop`.
    """

    def __init__(self, settings: Settings, *, delivery_timeout_s: float = 10.0, linger_s: float = 0.002) -> None:
        self._settings = settings
        self._delivery_timeout_s = delivery_timeout_s
        self._linger_s = linger_s
        self._inner: AIOKafkaProducer | None = None
        self._idempotent = False
        self._renewal = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def idempotent(self) -> bool:
        """Whether the broker gave us a producer id, so its retries write nothing twice."""
        return self._idempotent

    async def start(self) -> None:
        """Connect. Raises `StoreUnavailable` when no broker answers, `SetupError` for senseless settings."""
        self._idempotent = await _broker_gives_producer_ids(self._settings)
        self._inner = await self._connected()

    async def stop(self) -> None:
        """Deliver what is buffered, at most for the delivery time-out, and disconnect."""
        inner, self._inner = self._inner, None
        if inner is not None:
            await _close(inner, self._delivery_timeout_s)
        await asyncio.gather(*self._closing)

    async def __aenter__(self) -> Producer:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | Mapping[str, bytes] | None = None,
        partition: int | None = None,
    ) -> Ack:
        """Write one record and return where it is, once the broker has acknowledged it.

        Raises `BadPayload` (``too_large``) when it exceeds the topic's limit, `StoreUnavailable` when the
        outcome is a failure or unknown after the delivery time-out (send it again), `StoreRejected` when the
        broker will never take it.
        """
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers or ())
        [outcome] = await self._deliver([Message(topic, value, key, pairs, partition)])
        return _acknowledged(outcome)

    async def send_many(self, messages: Iterable[Message]) -> list[Ack]:
        """Send all and wait for all; raises the first error only after every record's fate is known.

        Order is kept per partition among records that name the same partition or the same key.
        """
        records, lots = list(messages), dict[tuple[str, Any], list[int]]()
        for place, record in enumerate(records):
            home = record.key if record.partition is None else record.partition
            lots.setdefault((record.topic, home), []).append(place)
        found = await asyncio.gather(*(self._deliver([records[place] for place in lot]) for lot in lots.values()))
        outcomes = dict(zip(chain.from_iterable(lots.values()), chain.from_iterable(found), strict=True))
        return [_acknowledged(outcomes[place]) for place in range(len(records))]

    async def _deliver(self, records: Sequence[Message]) -> list[Ack | Exception]:
        """Hand over records in their order and wait for all together: a task for each would cost more than the rest."""
        inner, handed = await self._live(), list[asyncio.Future[Any] | Exception]()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._delivery_timeout_s):
                for record in records:
                    handed.append(await _hand_over(inner, record))
                if waiting := [each for each in handed if isinstance(each, asyncio.Future)]:
                    await asyncio.wait(waiting)
        return [await self._outcome(inner, *pair) for pair in zip_longest(records, handed)]

    async def _outcome(
        self, inner: AIOKafkaProducer, record: Message, handed: asyncio.Future[Any] | Exception | None
    ) -> Ack | Exception:
        """Say what became of a record; ``handed`` is None when it never came into the buffer."""
        if isinstance(handed, Exception):
            return await self._explained(inner, record.topic, handed)
        if handed is None or not handed.done() or handed.cancelled():
            if handed is not None:
                handed.cancel()
            return StoreUnavailable(f"Kafka gave no answer for {record.topic} in {self._delivery_timeout_s} s")
        error = handed.exception()
        if isinstance(error, Exception):
            return await self._explained(inner, record.topic, error)
        written = handed.result()
        return Ack(written.topic, written.partition, written.offset)

    async def _explained(self, inner: AIOKafkaProducer, topic: str, error: Exception) -> Exception:
        """Return the error of ours that a client's error is."""
        if not isinstance(error, KafkaError | OSError):
            return error
        await self._renew(inner)
        explained: Exception = store_error(error, f"sending to {topic}")
        if isinstance(error, _TOO_LARGE):
            explained = BadPayload(RejectReason.TOO_LARGE, f"the broker refused the size of a record for {topic}")
        explained.__cause__ = error
        return explained

    async def _live(self) -> AIOKafkaProducer:
        if self._inner is None:
            raise StoreUnavailable("the Kafka producer is not started")
        return self._inner

    async def _renew(self, failed: AIOKafkaProducer) -> None:
        """Replace an idempotent producer after a failed batch: the gap in its sequence would fail all later ones."""
        async with self._renewal:
            if not self._idempotent or self._inner is not failed:
                return
            with suppress(StoreError):  # the broker is away: the next failure tries again
                self._inner = await self._connected()
                closing = asyncio.create_task(_close(failed, 0.0))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    async def _connected(self) -> AIOKafkaProducer:
        inner = AIOKafkaProducer(
            **client_settings(self._settings),
            acks="all",
            enable_idempotence=self._idempotent,
            compression_type=USUAL_CODEC,
            linger_ms=round(self._linger_s * 1000),
            max_batch_size=262_144,
            max_request_size=max(_LIMIT_BYTES.values()) + 1_048_576,
            request_timeout_ms=round(self._delivery_timeout_s * 1000),
        )
        compress_by_topic(inner)
        try:
            await inner.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await _close(inner, 0.0)
            raise store_error(error, "connecting") from error
        return inner


def _check_size(topic: str, value: bytes | None, key: bytes | None, headers: Headers) -> None:
    """Refuse before sending: the embedded broker has no limit, and a refusal costs an idempotent producer its id."""
    size_bytes = len(value or b"") + len(key or b"") + sum(len(name) + len(text) for name, text in headers)
    limit_bytes = _LIMIT_BYTES.get(topic, 1_048_576)
    if size_bytes > limit_bytes - RECORD_OVERHEAD_BYTES:
        detail = f"{size_bytes} bytes for topic {topic}, which takes {limit_bytes - RECORD_OVERHEAD_BYTES}"
        raise BadPayload(RejectReason.TOO_LARGE, detail)


async def _hand_over(inner: AIOKafkaProducer, record: Message) -> asyncio.Future[Any] | Exception:
    """Put a record into the client's buffer; return the future of its acknowledgement, or why it cannot be sent."""
    topic, partition = record.topic, record.partition
    try:
        _check_size(topic, record.value, record.key, record.headers)
        if partition is not None and partition not in await inner.partitions_for(topic):
            return StoreRejected(f"Kafka topic {topic} has no partition {partition}")
        handed: asyncio.Future[Any] = await inner.send(
            topic, record.value, key=record.key, headers=list(record.headers), partition=partition
        )
        return handed
    except (BadPayload, KafkaError, OSError) as error:
        return error


def _acknowledged(outcome: Ack | Exception) -> Ack:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _close(inner: AIOKafkaProducer, patience_s: float) -> None:
    """Stop a client: its own ``stop`` waits for an absent broker without end when it is idempotent."""
    with suppress(KafkaError, OSError, TimeoutError):
        if patience_s:
            await asyncio.wait_for(inner.flush(), patience_s)
    inner._closed = True  # what ``stop`` does, less its second flush
    with suppress(KafkaError, OSError):
        await inner._sender.close()
    await inner.client.close()


async def _broker_gives_producer_ids(settings: Settings) -> bool:
    """Ask for a producer id. The embedded broker answers with an error, and so may one that forbids it."""
    client = AIOKafkaClient(**client_settings(settings))
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
    try:
        await client.bootstrap()
        for _ in range(_PRODUCER_ID_TRIES):
            answer = await client.send(client.get_random_node(), request)
            if not for_code(answer.error_code).retriable:
                return bool(answer.error_code == 0)
            await asyncio.sleep(_PRODUCER_ID_PAUSE_S)  # a broker that has just started loads its coordinator
    except (KafkaError, OSError, TimeoutError) as error:
        raise store_error(error, "connecting") from error
    finally:
        await client.close()
    raise StoreUnavailable("Kafka is still loading its coordinator of producer ids")
