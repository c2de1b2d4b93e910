"""What a ranking says of bad traces and of lines: nothing that did not happen, in words of its reader."""

from __future__ import annotations

import pytest
from made_health import START_NS

from schemas.deviations import SeriesKind, SeriesScore, SignatureChange
from schemas.health import NodeKind
from schemas.snapshots import NodeFinding, PassageFinding, RankingSnapshot, TraceCounts, Weights
from streams.hypotheses import WEIGHTS, rank

SPECTRUM = Weights.model_validate({**WEIGHTS.model_dump(), "of": {"spectrum": 1.0}})
NEWS = Weights.model_validate({**WEIGHTS.model_dump(), "of": {"new_signature": 1.0}})
FRAMES = "httpx.ReadError" + " < client.py:handle_async_request" * 5


def snapshot(*, failing: int = 0, slow: int = 0, signatures: tuple[SignatureChange, ...] = ()) -> RankingSnapshot:
    """Return that of one service where so many of 100 traces are bad since the onset, and none was before."""
    passage = PassageFinding(
        entry="cart", since=TraceCounts(traces=100, failing=failing, slow=slow), before=TraceCounts(traces=100)
    )
    node = NodeFinding(
        service="cart", node_kind=NodeKind.SERVICE, requests=100, errors=failing, is_entry=True, callers=[], series=[],
        passages=[passage], signatures=list(signatures),
    )  # fmt: skip
    return RankingSnapshot(
        tenant="acme", incident_id="inc-1", version=1, as_of_ns=START_NS, onset_ns=START_NS, start_ns=START_NS,
        end_ns=START_NS, nodes=[node], services=["cart"], deploys=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("failing", "slow", "said"), [(0, 60, "slow"), (60, 0, "failing"), (60, 60, "slow and failing")]
)
def test_only_what_happened_is_said_of_the_requests_that_have_a_service_in_common(
    failing: int, slow: int, said: str
) -> None:
    """Where none failed, nobody looks for failures."""
    lead = rank(snapshot(failing=failing, slow=slow), SPECTRUM).hypotheses[0]
    assert lead.title == f"{said} requests have cart in common"


def test_lines_are_counted_by_the_minute_and_cut_between_words() -> None:
    """A pane is nothing that an on-call person knows."""
    series = SeriesScore(
        kind=SeriesKind.SIGNATURE, value=0.5, median=0.0, scale=1.0, score=9.0, unit="lines", requests=9, evidence=2.0,
        deviating=True, since_ns=START_NS,
    )  # fmt: skip
    change = SignatureChange(
        change="new", kind="exception", template=FRAMES, severity="error", first_seen_ns=START_NS, pane_s=5,
        series=series,
    )  # fmt: skip
    lead = rank(snapshot(signatures=(change,)), NEWS).hypotheses[0]
    assert any("(6 lines a minute, usually 0)" in one.summary for one in lead.evidence)
    assert lead.parts[0].why.endswith("client.py:handle_async_request < …")
