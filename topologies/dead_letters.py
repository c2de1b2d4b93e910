"""What cannot be used, kept where it can be looked at and sent again: records of topic ``dead-letters``.

::

    a message that cannot be opened or decoded ──▶ one letter with its bytes
    items of a message that cannot be used     ──▶ per reason a request of just these items, in pieces of 64 KiB
                                                   and of 4 MiB together; what is beyond in one letter a reason

Written and confirmed before the floor passes the message. The key ``topic:partition:offset:item`` makes a second
writing of the same letter recognisable; a replay that is refused again is the same letter with its next attempt.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.dead_letters import KEPT_BYTES, MOST_KEPT_BYTES, WHOLE_MESSAGE, DeadLetter, LetterKey, Replay
from schemas.errors import BadPayload, RejectReason
from schemas.topics import DEAD_LETTERS
from sinks.kafka.producer import Message
from streams.otlp import Reject, Signal
from streams.otlp.cutting import cut_into_pieces, cut_items

DECODER_VERSION = "otlp-1"
"""Changes when a decoder starts to accept or refuse other payloads, so that a replay knows what is worth trying."""


class Origin(NamedTuple):
    """Where a payload came from: its record, whose it is, and which letter it replays, if it is a replay."""

    topic: str
    partition: int
    offset: int
    tenant: str
    arrival_ns: int
    driven: bool = False
    replay: Replay | None = None

    def key(self, item: int) -> LetterKey:
        """Return the key of a letter about ``item`` of this record; a replay's letter is the one it replays."""
        if self.replay is None:
            return LetterKey(self.topic, self.partition, self.offset, item)
        letter = self.replay.letter
        if letter.item == WHOLE_MESSAGE and item != WHOLE_MESSAGE:
            return LetterKey(letter.topic, letter.partition, letter.offset, item)
        return letter


def message_letter(origin: Origin, payload: bytes | None, error: BadPayload) -> Message:
    """Return the record that keeps a refused message; ``payload`` is all that was sent, also of a replay of items."""
    items = list(origin.replay.items) if origin.replay else []
    return _letter(origin, origin.key(WHOLE_MESSAGE), items, payload or b"", error.reason, error.detail, bool(items))


def item_letters(origin: Origin, signal: Signal, payload: bytes, rejects: Sequence[Reject]) -> list[Message]:
    """Return the records that keep the refused items of a message; none for none."""
    return [
        _letter(origin, origin.key(items[0]), _named(origin, items), request, reason, detail)
        for reason, items, request, detail in _pieces(origin, signal, payload, rejects)
    ]


def _pieces(
    origin: Origin, signal: Signal, payload: bytes, rejects: Sequence[Reject]
) -> Iterator[tuple[RejectReason, list[int], bytes, str]]:
    by_reason: dict[RejectReason, list[Reject]] = {}
    for reject in sorted(rejects, key=lambda reject: reject.item):
        by_reason.setdefault(reject.reason, []).append(reject)
    if origin.replay is not None and origin.replay.letter.item != WHOLE_MESSAGE and rejects:
        items = sorted({reject.item for reject in rejects})  # they came as one letter and stay one
        yield rejects[0].reason, items, cut_items(signal, payload, items), _detail(rejects[0], len(items))
        return
    left_bytes = MOST_KEPT_BYTES
    for reason, found in by_reason.items():
        details = {reject.item: reject for reject in found}
        for items, request in cut_into_pieces(signal, payload, list(details), KEPT_BYTES, left_bytes):
            left_bytes -= min(len(request), KEPT_BYTES)
            yield reason, items, request, _detail(details[items[0]], len(items))


def _detail(first: Reject, count: int) -> str:
    return first.detail if count == 1 else f"{count} items, the first: {first.detail}"


def _named(origin: Origin, items: list[int]) -> list[int]:
    """Return the items by their places in the original record, which a replay may have brought a part of."""
    whole = origin.replay.items if origin.replay else ()
    return [whole[item] for item in items] if whole else items


def _letter(
    origin: Origin,
    key: LetterKey,
    items: list[int],
    payload: bytes,
    reason: RejectReason,
    detail: str,
    holds_others: bool = False,
) -> Message:
    """Return a letter. One whose payload ``holds_others`` than its items has to be cut out of the original again."""
    letter = DeadLetter(
        topic=key.topic,
        partition=key.partition,
        offset=key.offset,
        item=key.item,
        items=items,
        tenant=origin.tenant,
        reason=reason,
        detail=detail[:500],
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_bytes=len(payload),
        payload_base64=base64.b64encode(payload[:KEPT_BYTES]).decode(),
        payload_truncated=holds_others or len(payload) > KEPT_BYTES,
        decoder_version=DECODER_VERSION,
        first_seen_ns=origin.arrival_ns,
        driven=origin.driven,
        attempt=origin.replay.attempt if origin.replay else 0,
    )
    return Message(DEAD_LETTERS.name, letter.model_dump_json().encode(), str(key).encode())
