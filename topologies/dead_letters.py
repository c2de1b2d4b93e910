"""Messages that cannot be used, kept where they can be looked at: topic ``dead-letters``.

Written and confirmed before the floor passes the message. The key ``topic:partition:offset:item`` makes a
second writing of the same letter recognisable.
"""

from __future__ import annotations

import base64
import hashlib

from schemas.errors import RejectReason
from schemas.events import DeadLetter
from schemas.topics import DEAD_LETTERS
from sinks.kafka.producer import Message

KEPT_BYTES = 65_536
"""How much of a payload a letter keeps; the hash is of all of it."""

DECODER_VERSION = "otlp-1"
"""Changes when a decoder starts to accept or refuse other payloads, so that a replay knows what is worth trying."""


def dead_letter(
    topic: str,
    partition: int,
    offset: int,
    tenant: str,
    payload: bytes | None,
    reason: RejectReason,
    detail: str,
    arrival_ns: int,
) -> Message:
    """Return the record that keeps a refused message; ``detail`` must hold nothing of the payload's values."""
    raw = payload or b""
    letter = DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        tenant=tenant,
        reason=reason,
        detail=detail[:500],
        payload_sha256=hashlib.sha256(raw).hexdigest(),
        payload_base64=base64.b64encode(raw[:KEPT_BYTES]).decode(),
        payload_truncated=len(raw) > KEPT_BYTES,
        decoder_version=DECODER_VERSION,
        first_seen_ns=arrival_ns,
    )
    key = f"{topic}:{partition}:{offset}:{letter.item}".encode()
    return Message(DEAD_LETTERS.name, letter.model_dump_json().encode(), key)
