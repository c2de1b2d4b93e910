"""A second fault in an open incident: the ranking looks at its minutes."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.incidents import Deploy, Hypothesis, HypothesisSet
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.rhythm import EAGER_PANES, is_in_rhythm
from tests.made_health import PANE_NS, deviations, pane_start
from tests.unit.test_hypotheses import bad, calm, incident

CALM, SECOND, LAST = 30, 92, 104
"""Panes: before the first fault, in which the second begins, and in which it is looked at."""


def _pane(pane: int) -> list[ServiceDeviations]:
    """Return a pane in which payments is hard to reach from `CALM` on, and fails most requests from `SECOND` on."""
    gap = bad(SeriesKind.GAP, "checkout", since=CALM) if pane >= CALM else calm(SeriesKind.GAP, "checkout")
    failing = pane >= SECOND
    errors = bad(SeriesKind.ERROR_RATE, since=SECOND) if failing else calm(SeriesKind.ERROR_RATE)
    return [
        deviations("storefront", pane, entry=True),
        deviations("checkout", pane, callers=["storefront"]),
        deviations(
            "payments", pane, [gap, errors], errors=40 * failing, failed=40 * failing, callers=["checkout"]
        ),
    ]  # fmt: skip


def _ranked(renewed_ns: int, deploys: list[Deploy] | None = None) -> HypothesisSet:
    picture = TenantPicture("acme")
    for pane in range(LAST):
        for one in _pane(pane):
            picture.step(one)
    event = incident(CALM, ["payments"]).model_copy(update={"renewed_ns": renewed_ns})
    return rank(snapshot_of(picture, event, deploys or [], pane_start(LAST), 1))


def _parts(one: Hypothesis) -> set[str]:
    return {part.name for part in one.parts if part.value > 0.1}


def test_a_second_fault_is_ranked_by_its_own_minutes() -> None:
    """Its errors count, and what is still wrong of the first fault does too."""
    assert "own_errors" not in _parts(_ranked(0).hypotheses[0])
    lead = _ranked(pane_start(SECOND)).hypotheses[0]
    assert lead.service == "payments"
    assert {"own_errors", "gap"} <= _parts(lead)


def test_a_deploy_before_the_second_fault_is_suspected() -> None:
    """By the onset of the first it would be none: it came ten minutes later."""
    deploy = Deploy(
        deploy_id="d-1", tenant="acme", service="payments", version="2", at_ns=pane_start(SECOND) - PANE_NS
    )  # fmt: skip
    assert "deploy" not in _parts(_ranked(0, [deploy]).hypotheses[0])
    assert "deploy" in _parts(_ranked(pane_start(SECOND), [deploy]).hypotheses[0])


def test_what_was_normal_before_the_first_fault_is_the_past_of_the_second() -> None:
    """Calls that were given up in the first fault are missed in the second, not usual by then."""
    picture = TenantPicture("acme")
    for pane in range(LAST):
        called = deviations("payments", pane, [bad(SeriesKind.GAP, "checkout")], requests=5 if pane >= CALM else 50)
        seen = called.model_copy(update={"edges_in": deviations("", pane, callers=["checkout"]).edges_in})
        few = [edge.model_copy(update={"requests": called.requests}) for edge in seen.edges_in]
        for one in (
            deviations("checkout", pane, entry=True, requests=50),
            called.model_copy(update={"edges_in": few}),
        ):
            picture.step(one)
    event = incident(CALM, ["payments"]).model_copy(update={"renewed_ns": pane_start(SECOND)})
    nodes = {one.service: one for one in snapshot_of(picture, event, [], pane_start(LAST), 1).nodes}
    assert nodes["payments"].requests_before > 10 * nodes["payments"].requests


@pytest.mark.parametrize(("panes", "due"), [(1, True), (EAGER_PANES, True), (EAGER_PANES + 1, False)])
def test_the_first_panes_of_a_second_fault_are_each_ranked(panes: int, due: bool) -> None:
    """As those of the incident were; later once a minute."""
    event = incident(0).model_copy(update={"renewed_ns": pane_start(100)})
    assert is_in_rhythm(event, pane_start(100 + panes), PANE_NS) == due
    assert is_in_rhythm(incident(0), pane_start(panes), PANE_NS) == due
    assert is_in_rhythm(event, pane_start(102 + EAGER_PANES), PANE_NS)
