"""Whose fault it is when nearly everything is refused: a request of our own goes the way of every record.

::

    over a limit ─▶ specimen ─▶ decoder of the stage ─▶ ClickHouse, flat and as bytes ─▶ taken back
                                  └─ refused ─┬─────────── refused ┘          │
                                              ▼                               ▼
                                  the store or our code is broken     what is sent is bad: go on

However many tenants send rubbish, and also if nobody sends anything else, they cannot make it be refused.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from schemas.dead_letters import UNKNOWN_TENANT
from schemas.errors import StoreRejected
from sinks.clickhouse.landing import RawRow
from streams.otlp import Signal
from streams.otlp.specimen import specimen
from topologies import metrics
from topologies.patience import insist

log = structlog.get_logger()

PARTITION = 2**31 - 1
"""Where the specimen comes from: a partition that no topic has."""

EVERY_S = 60.0

Wanted = Callable[[], bool]
Decode = Callable[[bytes], Awaitable[bool]]
"""Tells whether the decoder of the stage takes all of a payload."""


class TriesOut(Protocol):
    """A raw sink that can be tried out."""

    async def try_out(self, topic: str, rows: Sequence[RawRow]) -> None:
        """Store rows and take them back. Raises `StoreRejected` when they are refused."""


class Probe:
    """The probe of one topic. It is made at most every ``every_s``; meanwhile what it said last holds."""

    def __init__(self, topic: str, signal: Signal, sink: TriesOut, decode: Decode, *, every_s: float = EVERY_S) -> None:
        self._topic = topic
        self._signal = signal
        self._sink = sink
        self._decode = decode
        self._every_s = every_s
        self._passed_s: float | None = None

    async def passes(self, wanted: Wanted, why: str) -> bool:
        """Tell whether a good request is still decoded and stored; ``why`` it is asked is logged.

        Raises `LaneEndedError`; a store that is away is waited for.
        """
        elapsed_s = time.monotonic()
        if self._passed_s is not None and elapsed_s - self._passed_s < self._every_s:
            return True
        passed = await self._is_taken(wanted)
        self._passed_s = elapsed_s if passed else None
        metrics.PROBES.labels(self._topic, "passed" if passed else "refused").inc()
        log.error("nearly_all_refused", topic=self._topic, why=why, specimen="passed" if passed else "refused")
        return passed

    async def _is_taken(self, wanted: Wanted) -> bool:
        wall_ns = time.time_ns()
        payloads = [specimen(self._signal, wall_ns, is_plain=is_plain) for is_plain in (False, True)]
        if not all([await self._decode(payload) for payload in payloads]):
            return False
        rows = [RawRow(UNKNOWN_TENANT, PARTITION, wall_ns + n, payload, wall_ns) for n, payload in enumerate(payloads)]
        try:
            await insist("clickhouse", "probe", lambda: self._sink.try_out(self._topic, rows), wanted)
        except StoreRejected as error:
            log.error("specimen_refused", topic=self._topic, error=str(error))
            return False
        return True
