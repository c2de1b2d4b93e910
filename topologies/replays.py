"""Which records are replays of dead letters, and which of them count.

::

    records with REPLAY_HEADER ─▶ claim in PostgreSQL ─┬─ first of its letter and attempt ─▶ taken, as of its arrival
                                                       ├─ repeated ─▶ passed over, counted
                                                       └─ unfounded ─▶ an ordinary record

A claim is bound to the record's offset, so reading the record again after a crash gives the same answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from faust.types import TP

from schemas.dead_letters import REPLAY_HEADER, Replay
from schemas.settings import Settings
from sinks.kafka.producer import Headers
from sinks.postgres.dead_letters import ReplayClaim, ReplayOutcome, claim
from sinks.postgres.pool import Pool
from topologies import metrics
from topologies.envelope import read_envelope, tenant_of
from topologies.parcels import Record
from topologies.patience import insist

Replays = dict[int, Replay | None]
"""By offset: the replay a record is, or None for one to be passed over. Ordinary records are not in it."""


async def find_replays(
    pool: Pool, settings: Settings, partition: TP, records: Sequence[Record], wanted: Callable[[], bool]
) -> Replays:
    """Tell the replays among the records of one partition. Raises `LaneEndedError` when it is not ours any more."""
    marked = {headers for headers in {record.headers for record in records} if _values(headers)}
    some = [record for record in records if record.headers in marked] if marked else ()
    named = {
        record.offset: (*one, record.value) for record in some if (one := _replay_of(record, partition.topic, settings))
    }
    if not named:
        return {}
    claims = [
        ReplayClaim(tenant, replay.letter, replay.attempt, partition.partition, offset, _sha256(value))
        for offset, (tenant, replay, value) in named.items()
    ]
    outcomes = await insist("postgres", "replays", lambda: claim(pool, claims), wanted)
    found: Replays = {}
    for (offset, (_, replay, _)), outcome in zip(named.items(), outcomes, strict=True):
        metrics.REPLAYS.labels(partition.topic, outcome).inc()
        if outcome is not ReplayOutcome.UNFOUNDED:
            found[offset] = replay if outcome is ReplayOutcome.FIRST else None
    return found


def _values(headers: Headers) -> list[bytes]:
    return [value for name, value in headers if name == REPLAY_HEADER]


def _sha256(value: Any) -> str:
    """Return the hash of a value; of none, and of a batch that could not be unpacked, that of nothing."""
    return hashlib.sha256(value if isinstance(value, bytes) else b"").hexdigest()


def _replay_of(record: Record, topic: str, settings: Settings) -> tuple[str, Replay] | None:
    values = _values(record.headers)
    replay = Replay.decode(values[0]) if len(values) == 1 else None
    if replay is None or replay.letter.topic != topic:
        return None
    return tenant_of(read_envelope(record.headers), settings) or "", replay
