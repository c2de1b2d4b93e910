"""The scenarios that are recorded, and the judgement whether the machine was calm enough for them."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from schemas.errors import SetupError
from topologies.demo.recording import chosen, scenarios
from topologies.demo.scenarios import CALM_S, SCENARIOS
from topologies.demo.steadiness import MINUTE_NS, Steadiness

KINDS = {
    "delay", "error_return", "cpu", "memory", "dead_instance", "latency_regression", "traffic_spike", "traffic_stop",
    "slow_query", "dependency_timeout", "trickle",
}  # fmt: skip


def test_there_are_twenty_scenarios_with_faults_of_every_kind_and_some_without() -> None:
    """Each with a seed of its own; faults at once begin within a minute of one another."""
    faulty = [one for one in SCENARIOS.values() if any(step.fault.service for step in one.steps)]
    assert len(faulty) >= 20
    assert {step.fault.kind for one in faulty for step in one.steps} == KINDS
    assert len(SCENARIOS) - len(faulty) >= 2
    assert len({one.seed for one in SCENARIOS.values()}) == len(SCENARIOS)
    assert all(one.calm_s == CALM_S for one in SCENARIOS.values())
    assert all(len(one.steps) == 2 for name, one in SCENARIOS.items() if name.startswith("two-"))


def test_five_scenarios_hide_a_bad_deploy_or_show_it() -> None:
    """Four of them among two innocent ones."""
    deploys = [step.fault for one in SCENARIOS.values() for step in one.steps if step.fault.releases]
    bad = [fault for fault in deploys if fault.service]
    assert len(bad) == 5
    assert [len(fault.releases) for fault in bad].count(3) == 4
    assert all(fault.service == fault.releases[0].service for fault in bad)


def test_scenarios_are_chosen_by_name() -> None:
    """None named means all; a wrong name lists the right ones."""
    assert [one.name for one in chosen(["traffic-stop", "cpu-pricing"])] == ["traffic-stop", "cpu-pricing"]
    assert len(chosen([])) == len(SCENARIOS) == len(scenarios())
    with pytest.raises(SetupError, match="delay-payments"):
        chosen(["flood"])


def spans(minute: int, *durations_ms: float) -> bytes:
    """Return an export request of server spans that began in a minute."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for duration_ms in durations_ms:
        begin_ns = minute * MINUTE_NS + 5
        end_ns = begin_ns + round(duration_ms * 1e6)
        for kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT):
            factor = 1 if kind == Span.SPAN_KIND_SERVER else 50
            scope.spans.add(
                kind=kind, start_time_unix_nano=begin_ns, end_time_unix_nano=begin_ns + factor * (end_ns - begin_ns)
            )
    return request.SerializeToString()


def test_the_whole_minutes_of_the_calm_are_measured_by_their_server_spans() -> None:
    """The minutes in which the calm begins and ends are not whole."""
    seen = Steadiness()
    for minute, slow_ms in ((10, 900.0), (11, 30.0), (12, 33.0), (13, 31.0), (14, 900.0)):
        seen.see(spans(minute, 10.0, 12.0, slow_ms, slow_ms))
    measured = seen.measured(10 * MINUTE_NS + 1, 14 * MINUTE_NS + 1)
    assert measured == [pytest.approx((12.0, slow_ms)) for slow_ms in (30.0, 33.0, 31.0)]


def test_a_recording_is_calm_when_no_minute_is_much_slower_than_the_usual_one() -> None:
    """Neither by its median nor by its 95th percentile; nothing measured is not calm."""
    usual = [(12.0, 100.0)] * 4
    assert Steadiness.is_calm([*usual, (17.0, 150.0)])
    assert not Steadiness.is_calm([*usual, (19.0, 100.0)])
    assert not Steadiness.is_calm([*usual, (12.0, 170.0)])
    assert not Steadiness.is_calm([])
