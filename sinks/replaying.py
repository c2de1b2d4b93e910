"""Send a dead letter's original through its topic again.

::

    letter ─▶ its bytes
              or, where only a prefix was kept, the record itself ─▶ topic, with REPLAY_HEADER ─▶ noted

Ingest takes the first record of a letter and attempt and ignores every other, so sending twice stores once. The replay
tells when the original had arrived: it is stored and judged by that time.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from schemas.dead_letters import REPLAY_HEADER, UNKNOWN_TENANT, LetterKey, Replay
from schemas.errors import Conflict, NotFound, RejectReason
from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, is_tenant
from schemas.settings import Settings
from sinks.kafka.producer import Ack, Headers, Producer
from sinks.kafka.reading import ReadRecord, read_record
from sinks.postgres.dead_letters import LetterState, StoredLetter, mark_replayed
from sinks.postgres.pool import Pool


@dataclass(frozen=True, slots=True)
class Sender:
    """What sending again needs: where the brokers are, the letters, and a producer."""

    settings: Settings
    postgres: Pool
    producer: Producer


async def replay_letter(sender: Sender, stored: StoredLetter, wall_ns: int) -> Ack:
    """Send a letter's original again and note it; returns where the broker has it.

    Raises `Conflict` when that is not to be had (sent already and not refused since, nothing to send, original gone
    from the topic), `StoreUnavailable` (call again), `BadPayload` when the broker does not take it.
    """
    letter = stored.letter
    if stored.state is LetterState.REPLAYED:
        raise Conflict(f"{letter.key} was replayed already and has not been refused since")
    is_unreadable = not letter.payload_bytes and not letter.items  # a batch that could not be unpacked
    if letter.reason is RejectReason.NULL_VALUE or is_unreadable:
        raise Conflict(f"{letter.key} has no value that could be sent again")
    value, items = await _original(sender.settings, stored)
    ack = await sender.producer.send(letter.topic, value, headers=_headers(stored, items), partition=letter.partition)
    await mark_replayed(sender.postgres, letter, ack.partition, ack.offset, wall_ns)
    return ack


async def _original(settings: Settings, stored: StoredLetter) -> tuple[bytes, tuple[int, ...]]:
    """Return what to send, and which items of it to take (empty: all)."""
    letter = stored.letter
    if not letter.payload_truncated:
        return base64.b64decode(letter.payload_base64), ()
    try:
        record = await read_record(settings, letter.topic, letter.partition, letter.offset)
    except NotFound as error:
        raise Conflict(f"{letter.key} kept only a prefix, and the original is gone: {error}") from error
    value = record.value or b""
    if not _is_of(record, letter.tenant, settings.default_tenant):
        raise Conflict(f"{letter.key} kept only a prefix, and a record of somebody else lies where the original was")
    if not letter.items and hashlib.sha256(value).hexdigest() != letter.payload_sha256:
        raise Conflict(f"{letter.key} kept only a prefix, and another record lies where the original was")
    return value, tuple(letter.items)


def _is_of(record: ReadRecord, tenant: str, default_tenant: str) -> bool:
    """Tell whether a record is the tenant's: a topic that was made anew gives its offsets out again."""
    named = {value.decode("ascii", "replace") for name, value in record.headers if name.lower() == TENANT_HEADER}
    if len(named) == 1 and is_tenant(*named):
        return named == {tenant}
    return tenant in (default_tenant, UNKNOWN_TENANT)


def _headers(stored: StoredLetter, items: tuple[int, ...]) -> Headers:
    letter = stored.letter
    replay = Replay(LetterKey.parse(letter.key), letter.attempt + 1, letter.first_seen_ns, items)
    headers = [(REPLAY_HEADER, replay.encode())]
    if letter.tenant != UNKNOWN_TENANT:
        headers.append((TENANT_HEADER, letter.tenant.encode()))
    if letter.driven:
        headers.append((ARRIVAL_HEADER, b"%d" % letter.first_seen_ns))
    return headers
