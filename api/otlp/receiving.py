"""Receive telemetry: unpack, parse, judge, send, and answer when the broker has all of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.responses import Response

from api.metrics import OTLP_ITEMS
from api.otlp.answers import PROTOBUF, otlp_success
from api.otlp.judging import Verdict, judged
from api.otlp.pieces import is_small, pieces_of
from api.otlp.signals import Signal
from api.otlp.unpacking import media_type_taken, parsed, unpacked
from api.places import Places
from schemas.keys import TENANT_HEADER
from sinks.kafka.producer import Ack, Message

AT_ONCE: Final = 4
"""Requests that may be unpacked at the same time: bounds the memory that large bodies unfold to."""

OF_TENANT: Final = 3
"""Of one tenant at the same time: whoever sends alone has nearly all, and a flood leaves the others room."""

LARGE_BYTES: Final = 2 * 1024 * 1024
"""Unpacked bodies above this are opened one at a time: 20 MiB of empty links are 900 MiB of messages."""

THREAD_FROM_BYTES: Final = 65_536
"""Smaller bodies are parsed where they arrive (0.3 ms); larger ones in a thread, so the loop stays awake."""


class Sender(Protocol):
    """Who brings records to the broker; `sinks.kafka.Producer` does."""

    async def send_many(self, messages: list[Message]) -> list[Ack]:
        """Return when all are confirmed; raise when one is not."""
        ...


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as it came in."""

    content: bytes
    content_type: bytes
    content_encoding: bytes


class Receiver:
    """Takes export requests, a few at a time."""

    def __init__(self) -> None:
        self._places = Places(AT_ONCE, OF_TENANT)
        self._for_large = ThreadPoolExecutor(1, "large-bodies")

    async def receive(self, body: Body, tenant: str, signal: Signal, sender: Sender) -> Response:
        """Return the answer to an export request. Raises `Problem` and `StoreError`."""
        media_type = media_type_taken(body.content_type)
        async with self._places.hold(tenant):
            verdict, records = await self._read(body, media_type, signal)
            headers = [(TENANT_HEADER, tenant.encode())]
            await sender.send_many([Message(signal.topic.name, record, headers=headers) for record in records])
        OTLP_ITEMS.labels(tenant, signal.name, "forwarded").inc(verdict.items - verdict.rejected)
        OTLP_ITEMS.labels(tenant, signal.name, "rejected").inc(verdict.rejected)
        return otlp_success(signal, media_type, verdict.rejected, verdict.why)

    async def _read(self, body: Body, media_type: str, signal: Signal) -> tuple[Verdict, list[bytes]]:
        if len(body.content) < THREAD_FROM_BYTES and not body.content_encoding:
            return _opened(body.content, media_type, signal)
        return await asyncio.to_thread(self._read_in_thread, body, media_type, signal)

    def _read_in_thread(self, body: Body, media_type: str, signal: Signal) -> tuple[Verdict, list[bytes]]:
        content = unpacked(body.content, body.content_encoding)
        if len(content) > LARGE_BYTES:
            return self._for_large.submit(_opened, content, media_type, signal).result()
        return _opened(content, media_type, signal)


def _opened(content: bytes, media_type: str, signal: Signal) -> tuple[Verdict, list[bytes]]:
    request = parsed(content, media_type, signal)
    verdict = judged(request, signal)
    if not verdict.items:
        return verdict, []
    record = content if media_type == PROTOBUF else request.SerializeToString()
    if is_small(request, len(record), verdict.items, signal):
        return verdict, [record]
    return verdict, pieces_of(request, signal)
