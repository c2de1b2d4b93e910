"""What an incident is like: named features, and vectors whose cosine says how much two have in common."""

from __future__ import annotations

import math

from schemas.deviations import SeriesKind, SeriesScore, SignatureChange
from schemas.health import NodeKind
from schemas.incidents import Hypothesis, HypothesisSet
from schemas.snapshots import NodeFinding, RankingSnapshot, SeriesFinding
from streams.resemblance import DIMENSIONS, features_of, lines_of, vector_of


def series(kind: SeriesKind, strength: float, client: str | None = None) -> SeriesFinding:
    """Return a series of this strength."""
    peak = SeriesScore(kind=kind, value=9.0, median=1.0, scale=1.0, score=8.0, unit="ms", requests=50, deviating=True)
    return SeriesFinding(kind=kind, client=client, strength=strength, evidence=1.0, mean=9.0, peak=peak)


def features(service: str, *found: SeriesFinding, template: str | None = None) -> dict[str, float]:
    """Return the features of an incident in which one service is suspected."""
    signature = SeriesScore(
        kind=SeriesKind.SIGNATURE, value=9.0, median=0.0, scale=1.0, score=9.0, unit="lines", requests=9, deviating=True
    )
    signatures = [
        SignatureChange(change=change, kind="log", template=text, severity="error", first_seen_ns=1, series=signature)
        for change, text in (("new", template), ("gone", "all is well"))
        if template is not None
    ]
    node = node_with(signatures, service, *found)
    suspect = Hypothesis(
        rank=1, suspect_kind="deploy", service=service, deploy_id="d", title="", score=2.0, confidence=0.5, parts=[],
        evidence=[],
    )  # fmt: skip
    known = {"tenant": "acme", "incident_id": "inc", "version": 1, "as_of_ns": 9}
    ranking = HypothesisSet(**known, weights_version="w", hypotheses=[suspect])
    return features_of(ranking, snapshot_with(node))


def node_with(signatures: list[SignatureChange], service: str = "cart", *found: SeriesFinding) -> NodeFinding:
    """Return a service with error lines and series."""
    return NodeFinding(
        service=service, node_kind=NodeKind.SERVICE, requests=9, errors=1, is_entry=False, callers=[],
        series=list(found), signatures=signatures,
    )  # fmt: skip


def snapshot_with(node: NodeFinding) -> RankingSnapshot:
    """Return a snapshot in which there is only this node."""
    return RankingSnapshot(
        tenant="acme", incident_id="inc", version=1, as_of_ns=9, onset_ns=1, start_ns=1, end_ns=9, nodes=[node],
        deploys=[],
    )  # fmt: skip


def cosine(one: dict[str, float], other: dict[str, float]) -> float:
    """Return the cosine of two incidents."""
    return sum(a * b for a, b in zip(vector_of(one), vector_of(other), strict=True))  # math.sumprod is of 3.12


def test_features_say_who_how_and_why_by_name() -> None:
    """What is normal, and error lines that stopped, are no features."""
    found = features(
        "cart",
        series(SeriesKind.GAP, 3.0, client="web"),
        series(SeriesKind.P95, 0.4),
        template="no route to <*>",
    )
    assert found == {
        "change of cart": 1.0,
        "service cart": 0.5,
        "signature log of cart: no route to <*>": 1.5,
        "suspect deploy cart": 2.0,
        "symptom gap of web → cart": 1.0,
    }


def test_the_same_again_is_nearest_and_another_fault_is_far() -> None:
    """Stronger or weaker, an incident is like itself; of another service it has nothing in common."""
    slow = features("cart", series(SeriesKind.SELF_TIME, 2.0))
    slower = features("cart", series(SeriesKind.SELF_TIME, 3.0))
    failing = features("cart", series(SeriesKind.ERROR_RATE, 3.0))
    elsewhere = features("shipping", series(SeriesKind.ERROR_RATE, 3.0))
    assert math.isclose(cosine(slow, slow), 1.0)
    assert cosine(slow, slower) > 0.98
    assert cosine(slow, slower) > cosine(slow, failing) > 0.5 > abs(cosine(slow, elsewhere))


def test_lines_are_told_without_what_was_masked_the_clearest_first() -> None:
    """Those that are gone say nothing of what is wrong; one that nothing is left of neither."""
    told = [
        ("new", "no route to <*> after <num> tries", 0.9),
        ("rising", "timeout of <*>", 1.2),
        ("gone", "all is well", 2.0),
        ("new", "<*>", 1.0),
    ]
    signatures = [
        SignatureChange(
            change=change, kind="log", template=text, severity="error", first_seen_ns=1,
            series=SeriesScore(
                kind=SeriesKind.SIGNATURE, value=9.0, median=0.0, scale=1.0, score=9.0, unit="lines", requests=9,
                deviating=True, evidence=evidence,
            ),
        )
        for change, text, evidence in told
    ]  # fmt: skip
    assert lines_of(snapshot_with(node_with(signatures))) == ["timeout of", "no route to after tries"]


def test_nothing_found_is_a_vector_of_zeros() -> None:
    """An incident before its first finding."""
    assert vector_of({}) == [0.0] * DIMENSIONS
