"""When the demo says that a fault was found and named first."""

from __future__ import annotations

import pytest

from deploy.shop.faults import FAULTS
from schemas.errors import SetupError
from schemas.incidents import Alert, AlertCause, Hypothesis, IncidentState, NotifyReason, Severity
from topologies.demo.front_door import SPANS, ListedIncident, SeenIncident, opened_in_calm
from topologies.demo.running import chosen
from topologies.demo.verdict import Verdict, tells_truth

DELAY, CPU = FAULTS["delay"], FAULTS["cpu"]

ALERT = Alert(
    alert_id="a", tenant="demo", incident_id="i", reason=NotifyReason.FIRST, state=IncidentState.OPEN,
    severity=Severity.HIGH, title="t", summary="s", at_ns=1, onset_ns=1, services=["payments"],
    causes=[AlertCause(service="payments", title="checkout to payments is slow", confidence=0.9)],
    path="/api/v1/incidents/i",
)  # fmt: skip


def suspect(rank: int, service: str, edge_client: str | None = None) -> Hypothesis:
    """Return a hypothesis."""
    return Hypothesis(
        rank=rank, suspect_kind="edge" if edge_client else "service", service=service, edge_client=edge_client,
        title=f"{service} is slow", score=1.0, confidence=0.5, parts=[], evidence=[],
    )  # fmt: skip


def verdict(hypotheses: list[Hypothesis], alert: Alert | None = ALERT) -> Verdict:
    """Return the verdict on the delay after an incident with these hypotheses."""
    seen = SeenIncident("i", "INC-1", "t", "open", "high", 1, None, hypotheses, "")
    return Verdict(DELAY, seen, 40.0, alert, 52.0 if alert else None, 270.0)


def test_the_truth_at_rank_one_and_a_delivered_alert_pass() -> None:
    """The right edge, or the service at its end, is the truth."""
    assert verdict([suspect(1, "payments", "checkout"), suspect(2, "checkout")]).passed
    assert verdict([suspect(1, "payments")]).passed
    assert verdict([suspect(1, "payments")]).lines()[0].startswith("PASSED  delay: found after 40 s")


def test_a_symptom_at_rank_one_fails_and_says_where_the_truth_is() -> None:
    """Being among the hypotheses is not being named first."""
    second = verdict([suspect(1, "checkout"), suspect(2, "payments", "checkout")])
    assert not second.passed
    assert second.rank == 2
    assert any("the truth is at rank 2" in line for line in second.lines())


def test_the_wrong_edge_to_the_right_service_is_not_the_truth() -> None:
    """A fault of one connection is not the fault of another; a fault of a service may be told of any edge to it."""
    assert not tells_truth(suspect(1, "payments", "storefront"), DELAY)
    assert tells_truth(suspect(1, "pricing", "cart"), CPU)


def test_no_alert_no_hypothesis_and_no_incident_fail() -> None:
    """Each is said in words."""
    silent = verdict([suspect(1, "payments")], alert=None)
    assert not silent.passed
    assert any("no alert was delivered" in line for line in silent.lines())
    assert not verdict([]).passed
    missed = Verdict(DELAY, None, None, None, None, 270.0)
    assert not missed.passed
    assert missed.lines()[0].startswith("MISSED  delay: no incident within 270 s")


def test_an_incident_between_the_warm_up_and_the_fault_is_a_false_alarm() -> None:
    """Nothing was wrong then, however late it is seen; what was before the demo, or after the fault, is none."""
    listed = [ListedIncident(name, at_ns, "open", "t") for at_ns, name in enumerate(("before", "calm", "fault"))]
    assert [one.incident_id for one in opened_in_calm(listed, 0, 2)] == ["calm"]


def test_faults_are_chosen_by_name_in_the_given_order() -> None:
    """None named means the delay; a wrong name lists the right ones."""
    assert [fault.name for fault in chosen("cpu, delay")] == ["cpu", "delay"]
    assert [fault.name for fault in chosen("")] == ["delay"]
    with pytest.raises(SetupError, match="traffic-stop"):
        chosen("flood")


def test_spans_are_counted_from_the_metrics_page_over_all_outcomes_and_labels() -> None:
    """Order of labels does not matter; other signals do not count."""
    page = (
        "# HELP x y\n"
        'incidentscope_api_otlp_items_total{outcome="forwarded",signal="traces",tenant="demo"} 1200.0\n'
        'incidentscope_api_otlp_items_total{outcome="rejected",signal="traces",tenant="demo"} 1.5e+03\n'
        'incidentscope_api_otlp_items_total{outcome="forwarded",signal="logs",tenant="demo"} 7.0\n'
    )
    assert [float(count) for count in SPANS.findall(page)] == [1200.0, 1500.0]
