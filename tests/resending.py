"""Sending as the product's own callers do: again, when Kafka says try later."""

from __future__ import annotations

import asyncio

from schemas.errors import StoreUnavailable
from sinks.kafka import Ack, Producer


async def sent(producer: Producer, topic: str, value: bytes, partition: int, patience_s: float = 120.0) -> Ack:
    """Send until the broker acknowledges: right after a topic or a broker is new, it may know no leader yet."""
    async with asyncio.timeout(patience_s):
        while True:
            try:
                return await producer.send(topic, value, partition=partition)
            except StoreUnavailable:
                await asyncio.sleep(0.05)  # a refusal may come without waiting for anything
