"""Examples for the API's description: what is asked about the ingest itself."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from api.views.dead_letters import LetterDetail, LetterPage, LetterView
from schemas.dead_letters import DeadLetter
from schemas.errors import RejectReason
from schemas.topics import TRACES
from sinks.postgres.dead_letters import LetterState, StoredLetter

_PAYLOAD: Final = b"\x0a\xff\xff\xff\xff\x0fnot a request"

_STORED: Final = StoredLetter(
    letter=DeadLetter(
        topic=TRACES.name,
        partition=0,
        offset=4711,
        tenant="shop",
        reason=RejectReason.DECODE,
        detail=f"{len(_PAYLOAD)} bytes that are not an OTLP request",
        payload_sha256=hashlib.sha256(_PAYLOAD).hexdigest(),
        payload_bytes=len(_PAYLOAD),
        payload_base64=base64.b64encode(_PAYLOAD).decode(),
        decoder_version="otlp-1",
        first_seen_ns=1_795_426_200 * 1_000_000_000,
    ),
    state=LetterState.OPEN,
    replayed_ns=None,
    replayed_partition=None,
    replayed_offset=None,
)
LETTER: Final = LetterDetail.of(_STORED)
LETTER_PAGE: Final = LetterPage(items=[LetterView.of(_STORED)])
