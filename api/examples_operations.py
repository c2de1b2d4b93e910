"""Examples for the API's description: what is asked about the ingest itself."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from api.views.budget import BudgetSeries
from api.views.dead_letters import LetterDetail, LetterPage, LetterView
from api.views.revisions import Revisions
from schemas.dead_letters import DeadLetter
from schemas.errors import RejectReason
from schemas.queries import BudgetStep, PaneRevision
from schemas.reconciling import Gap, GapCause, Outcomes, PartitionAccount, Reconciliation, TenantAccount
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

_AT_NS: Final = 1_795_426_500 * 1_000_000_000
_OUTCOMES: Final = Outcomes(stored=80_911, refused=1, empty=1_088)
RECONCILIATION: Final = Reconciliation(
    at_ns=_AT_NS,
    complete=False,
    partitions=[
        PartitionAccount(
            topic=TRACES.name,
            partition=0,
            first_offset=0,
            floor_offset=82_001,
            read_offset=82_040,
            end_offset=82_042,
            outcomes=_OUTCOMES,
            gaps=[Gap(first_offset=512, last_offset=551, cause=GapCause.GONE)],
            missing_records=40,
            lag_records=2,
            lag_s=0.4,
        )
    ],
    tenants=[
        TenantAccount(
            tenant="shop",
            topic=TRACES.name,
            outcomes=_OUTCOMES,
            newest_event_ns=_AT_NS - 2_400_000_000,
            newest_arrival_ns=_AT_NS - 1_900_000_000,
            ingest_delay_s=2.4,
        )
    ],
)

_PANE_NS: Final = 1_795_426_200 * 1_000_000_000
REVISIONS: Final = Revisions(
    service="checkout",
    start_ns=_PANE_NS,
    end_ns=_AT_NS,
    late_items=12,
    items=[
        PaneRevision(
            pane_start_ns=_PANE_NS,
            revision=revision,
            cause=cause,
            final=final,
            told_ns=_PANE_NS + after_s * 1_000_000_000,
            requests=requests,
            errors=1,
            p95_ms=p95_ms,
            window_requests=6 * requests,
            window_p95_ms=p95_ms,
        )
        for revision, cause, final, after_s, requests, p95_ms in (
            (0, "live", False, 26, 310, 41.5),
            (1, "live", True, 80, 318, 42.0),
            (2, "late", True, 412, 330, 55.0),
        )
    ],
    truncated=False,
)
BUDGET: Final = BudgetSeries.of(
    "checkout",
    (_AT_NS, _AT_NS + 600 * 1_000_000_000),
    300,
    0.995,
    [
        BudgetStep(start_ns=_AT_NS, measured_s=300, requests=9_300, errors=12),
        BudgetStep(start_ns=_AT_NS + 300 * 1_000_000_000, measured_s=300, requests=9_180, errors=401),
    ],
)
