"""What is known of a service's hours of the week from before this worker saw it, read beside the stream.

::

    baselines ─ first sight of a service ─▶ queue (bounded) ─▶ ClickHouse minutes ─▶ answers ─▶ baselines, later

Nobody waits for it: until there is an answer the service is learned from what comes, and a queue that is full is asked
again with the service's next pane. A tenant that is replayed (driven clock) is judged by its own past alone, so a
replay gives what it gave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from schemas.errors import StoreError, StoreUnavailable
from schemas.keys import service_key
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.hour_reads import hourly_series
from streams.baselines.hour_cells import WEEK_H, HourConfig, Visit
from streams.baselines.hour_notes import visits_of
from topologies import metrics

log = structlog.get_logger()

MAX_WAITING = 256
PAUSE_S = 5.0
_HOUR_NS = 3_600_000_000_000

History = Mapping[str, Sequence[Visit]]


class Newcomer(NamedTuple):
    """A service that was seen for the first time, in which pane."""

    tenant: str
    service: str
    pane_start_ns: int
    pane_s: int

    @property
    def key(self) -> bytes:
        """As the tables name it."""
        return service_key(self.tenant, self.service)


class WarmStarts:
    """Questions about newcomers, and the answers that are not fetched yet. One task, `run`, asks ClickHouse."""

    def __init__(self, clickhouse: ClickHouse, config: HourConfig | None = None, pause_s: float = PAUSE_S) -> None:
        self._clickhouse = clickhouse
        self._config = config or HourConfig()
        self._pause_s = pause_s
        self._waiting: asyncio.Queue[Newcomer] = asyncio.Queue(MAX_WAITING)
        self._asked: set[bytes] = set()
        self._answers: dict[bytes, History] = {}

    def forget(self) -> None:
        """Forget questions and answers: after a rebalance the services may be another worker's."""
        self._asked.clear()
        self._answers.clear()

    def ask(self, newcomers: Sequence[Newcomer]) -> None:
        """Put questions that were not put yet, as far as there is room."""
        for one in newcomers:
            if one.key not in self._asked and not self._waiting.full():
                self._asked.add(one.key)
                self._waiting.put_nowait(one)

    def fetch(self, key: bytes) -> History | None:
        """Take the answer about a service, if there is one. May be called from any thread."""
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._asked.discard(key)
        return answer

    async def run(self) -> None:
        """Answer questions, one after the other, until cancelled."""
        while True:
            one = await self._waiting.get()
            if one.key not in self._asked:
                continue
            try:
                self._answers[one.key] = await self._read(one)
                self._forget_unfetched()
                metrics.WARM_STARTS.labels("known" if self._answers[one.key] else "nothing").inc()
            except StoreUnavailable as error:
                metrics.WARM_STARTS.labels("unavailable").inc()
                log.warning("warm_start_put_off", tenant=one.tenant, service=one.service, error=str(error))
                await asyncio.sleep(self._pause_s)
                self._asked.discard(one.key)
            except StoreError as error:  # no repetition heals it: the service learns from what comes
                metrics.WARM_STARTS.labels("refused").inc()
                log.error("warm_start_refused", tenant=one.tenant, service=one.service, error=str(error))

    def _forget_unfetched(self) -> None:
        """Drop the oldest answers that nobody fetched: their services have not come again, and may ask again."""
        for key in list(self._answers)[:-MAX_WAITING]:
            del self._answers[key]
            self._asked.discard(key)

    async def _read(self, one: Newcomer) -> History:
        end_ns = one.pane_start_ns // _HOUR_NS * _HOUR_NS
        start_ns = end_ns - self._config.weeks * WEEK_H * _HOUR_NS
        found = await hourly_series(self._clickhouse, one.tenant, one.service, start_ns, end_ns)
        return visits_of(found, one.pane_s, self._config)
