"""What there is no room for is counted by tenant and reason, wherever it is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from faust.types import TP
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from stage_bench import Bench

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.health import NodeKind, ServiceHealth
from schemas.incidents import Deploy
from schemas.losses import LossReason
from schemas.metric_names import OTHER_TENANTS
from schemas.topics import METRICS
from streams.contents import EdgeTally, OperationTally, PaneContents, PartTally, SignatureTally
from streams.health import HealthFold
from streams.hypotheses.picture import PictureConfig, TenantPicture
from streams.incidents import IncidentConfig, IncidentFold
from streams.otlp.metrics import MOST_POINTS, decode_metrics
from streams.partials import ServicePartial
from streams.pictures import MAX_EDGES_IN, MAX_INSTANCES, MAX_OPERATIONS
from streams.points.courses import MOST_OF_TENANT, Point, SeriesName
from streams.points.readings import MOST_SERVICES, MOST_TENANTS, PointFold, encode, read_told
from streams.progress import MAX_DRIVEN, Progress, ProgressClock
from streams.signatures.counts import MAX_SIGNATURES
from streams.windows import SECOND_NS, Loss, WindowConfig
from tests.made_health import deviations, pane_start, score
from topologies import metrics
from topologies.correlation import DEPLOYS_LIMIT, latest_deploys
from topologies.desks import Desk
from topologies.incidents import tell_losses
from topologies.source_folds import SIGNALS, SourceFolds, decoder_of

ARRIVAL_NS = pane_start(0)


def alarming(service: str, pane: int, callers: Sequence[str] = ()) -> ServiceDeviations:
    """Return a service that is slow by itself since the first pane."""
    return deviations(service, pane, [score(SeriesKind.SELF_TIME, pane, since=0)], callers=callers)


def gauges(service: str, *points: int) -> ExportMetricsServiceRequest:
    """Return a message of one gauge each with so many points."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    for number, count in enumerate(points):
        gauge = resource.scope_metrics.add().metrics.add(name=f"queue.{number}").gauge
        for place in range(count):
            gauge.data_points.add(time_unix_nano=ARRIVAL_NS, as_int=1).attributes.add(key=f"k{place}")
    return request


def test_points_of_tenants_beyond_the_bound_are_a_loss_by_name() -> None:
    """As many as would have been looked at: a metric that is broken down by requests never is."""
    fold = PointFold(WindowConfig())
    one = decode_metrics(gauges("cart", 1).SerializeToString()).resources
    for number in range(MOST_TENANTS):
        fold.take(f"tenant-{number}", one, ARRIVAL_NS)
    assert fold.drain_losses() == []
    many = decode_metrics(gauges("cart", 3, 2, MOST_POINTS + 1).SerializeToString()).resources
    fold.take("one-too-many", many, ARRIVAL_NS)
    assert fold.drain_losses() == [Loss("one-too-many", LossReason.TENANT_OVERFLOW, 5)]
    assert fold.drain_losses() == [], "told once"


def test_points_of_services_beyond_the_bound_are_a_loss_by_name() -> None:
    """Services that are known already lose nothing."""
    fold = PointFold(WindowConfig())
    for number in range(MOST_SERVICES + 1):
        fold.take("acme", decode_metrics(gauges(f"s{number}", 2).SerializeToString()).resources, ARRIVAL_NS)
    fold.take("acme", decode_metrics(gauges("s0", 2).SerializeToString()).resources, ARRIVAL_NS)
    assert fold.drain_losses() == [Loss("acme", LossReason.METRIC_OVERFLOW, 2)]


def crowd(first: int, count: int) -> list[tuple[SeriesName, Point]]:
    """Return a point each of so many services."""
    return [
        (SeriesName(f"s{number}", "", "cpu", "1", False, ()), Point(ARRIVAL_NS, 1.0, ARRIVAL_NS))
        for number in range(first, first + count)
    ]


def test_series_beyond_the_bound_of_a_tenant_are_a_loss_by_name() -> None:
    """Series that are known already lose nothing; those of a service beyond its own few are a choice, and no loss."""
    picture = TenantPicture("acme")
    picture.step_points(crowd(0, MOST_OF_TENANT))
    assert picture.drain_losses() == []
    picture.step_points(crowd(MOST_OF_TENANT - 5, 8))
    assert picture.drain_losses() == [Loss("acme", LossReason.METRIC_OVERFLOW, 3)]


def test_services_beyond_the_bound_of_a_picture_are_a_loss_by_name() -> None:
    """Rankings do not see them."""
    picture = TenantPicture("acme", PictureConfig(max_services=2))
    for service in ("cart", "pay", "shop", "cart"):
        picture.step(deviations(service, 0))
    assert picture.drain_losses() == [Loss("acme", LossReason.NODE_OVERFLOW, 1)]


# -- what a picture lists ----------------------------------------------------------------------------------


def told(contents: PaneContents) -> tuple[list[ServiceHealth], list[Loss]]:
    """Return what is told of one pane until it is final, and what is lost."""
    config = WindowConfig()
    fold = HealthFold("telemetry.rollups/0", ["one"], config)
    fold.step_partial(ServicePartial("acme", "cart", NodeKind.SERVICE, ARRIVAL_NS, "one", 0, 0, contents), 0)
    pictures, losses = [], []
    for offset, seconds in enumerate((15, 71), start=1):
        fold.step_progress(Progress("one", ARRIVAL_NS + seconds * SECOND_NS), offset)
        pictures += [one for one in fold.publish() if one.pane_start_ns == ARRIVAL_NS]
        losses.append(fold.drain_losses())
    assert [one.final for one in pictures] == [False, True]
    assert losses[0] == [], "counted once, when the pane is final"
    return pictures, losses[1]


def tally(requests: int) -> OperationTally:
    """Return requests that took a while."""
    return OperationTally(requests, 0, {600: requests}, {})


CROWDED = {
    "operations": PaneContents(operations={(f"GET /{n:03}", 2): tally(2) for n in range(MAX_OPERATIONS + 3)}),
    "edges_in": PaneContents(
        edges={(f"c{n:03}", "service", "request"): EdgeTally(requests=2) for n in range(MAX_EDGES_IN + 3)}
    ),
    "instances": PaneContents(
        operations={("GET /", 2): tally(1)}, instances={f"i{n:03}": PartTally(2) for n in range(MAX_INSTANCES + 3)}
    ),
    "signatures": PaneContents(
        signatures={
            ("exception", f"{chr(65 + n // 26)}{chr(65 + n % 26)}Error"): SignatureTally(count=2)
            for n in range(MAX_SIGNATURES + 3)
        }
    ),
}


@pytest.mark.parametrize("part", CROWDED)
def test_what_a_picture_has_no_room_to_list_is_a_loss_by_name(part: str) -> None:
    """Three too many, of two requests or lines each; they are in its sums."""
    pictures, losses = told(CROWDED[part])
    assert losses == [Loss("acme", LossReason.UNLISTED, 6)]
    if part == "operations":
        assert pictures[-1].pane.requests == 2 * (MAX_OPERATIONS + 3)


def test_a_picture_that_lists_all_loses_nothing() -> None:
    """Just as many as there is room for."""
    operations = {(f"GET /{n:03}", 2): tally(2) for n in range(MAX_OPERATIONS)}
    assert told(PaneContents(operations=operations))[1] == []


# -- where it is counted -----------------------------------------------------------------------------------


def counted(reason: LossReason) -> float:
    """Return what /metrics says of a reason, of all tenants that these tests use."""
    labels = {metrics.tenant_label("acme"), OTHER_TENANTS}
    return sum(metrics.LOSSES.labels(label, reason)._value.get() for label in labels)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give the wiring of a stage."""
    return Bench(tmp_path)


def test_points_without_room_are_counted_when_ingest_flushes(bench: Bench) -> None:
    """By tenant and reason, where all losses are."""
    folds = SourceFolds(bench.wiring, TP(METRICS.name, 0), decoder_of(SIGNALS[METRICS.name], bench.settings))
    assert folds.points is not None
    for number in range(MOST_TENANTS):
        folds.points.take(f"tenant-{number}", [], ARRIVAL_NS)
    folds.points.take("acme", decode_metrics(gauges("cart", 3).SerializeToString()).resources, ARRIVAL_NS)
    before = counted(LossReason.TENANT_OVERFLOW)
    folds.flush()
    assert counted(LossReason.TENANT_OVERFLOW) == before + 3


def test_what_rankings_have_no_room_for_is_counted_as_it_comes(bench: Bench) -> None:
    """Points of metrics, and services."""
    desk, one = Desk(bench.wiring, 0), deviations("cart", 0)
    points, services = counted(LossReason.METRIC_OVERFLOW), counted(LossReason.NODE_OVERFLOW)
    desk.see_points(0, read_told(encode(crowd(0, MOST_OF_TENANT + 2), "acme", False)))
    assert counted(LossReason.METRIC_OVERFLOW) == points + 2
    for number in range(PictureConfig().max_services + 1):
        desk.see(number, one.model_copy(update={"service": f"s{number}"}))
    assert counted(LossReason.NODE_OVERFLOW) == services + 1


def test_a_ranking_that_leaves_deploys_out_is_counted() -> None:
    """It weighs the latest."""
    deploys = [
        Deploy(deploy_id=f"d{number}", tenant="acme", service="cart", version="1", at_ns=-number, source="api")
        for number in range(DEPLOYS_LIMIT + 1)
    ]
    before = counted(LossReason.DEPLOY_OVERFLOW)
    assert latest_deploys("acme", deploys[:-1]) == deploys[:-1]
    assert counted(LossReason.DEPLOY_OVERFLOW) == before
    assert latest_deploys("acme", deploys) == deploys[:-1]
    assert counted(LossReason.DEPLOY_OVERFLOW) == before + 1


def test_services_beyond_the_open_incidents_of_a_tenant_are_a_loss_by_name_and_no_other_tenants() -> None:
    """They are named with each pane, and counted."""
    fold = IncidentFold("acme", IncidentConfig(max_open=2))
    names = [f"s{number}" for number in range(5)]
    for pane in range(8):
        fold.step_pane(pane_start(pane), [alarming(name, pane) for name in names], pane_start(pane + 1))
    assert len(fold.open) == 2
    (loss,) = fold.losses.drain()
    assert (loss.tenant, loss.reason) == ("acme", LossReason.INCIDENT_OVERFLOW)
    assert set(fold.unopened) == set(names) - {one for incident in fold.open for one in incident.members}
    assert len(fold.unopened) == 3
    assert loss.count % 3 == 0


def test_members_beyond_the_bound_of_an_incident_are_a_loss_by_name() -> None:
    """Who deviates because of a member, or with it."""
    fold = IncidentFold("acme", IncidentConfig(max_services=2))
    for pane in range(8):
        first = alarming("s0", pane, ("s1", "s2", "s3"))
        others = [alarming(f"s{number}", pane) for number in range(1, 4)]
        fold.step_pane(pane_start(pane), [first, *others], pane_start(pane + 1))
    assert [len(incident.members) for incident in fold.open] == [2]
    assert {loss.reason for loss in fold.losses.drain()} == {LossReason.MEMBER_OVERFLOW}


def test_edges_beyond_the_bound_of_the_live_graph_are_a_loss_by_name() -> None:
    """The oldest go."""
    fold = IncidentFold("acme", IncidentConfig(max_edges=2))
    crowded = deviations("s0", 0, callers=[f"c{number}" for number in range(5)])
    fold.step_pane(pane_start(0), [crowded], pane_start(1))
    assert fold.losses.drain() == [Loss("acme", LossReason.GRAPH_OVERFLOW, 3)]


def test_who_is_in_no_incident_for_want_of_room_is_counted_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Once a pane and tenant, with some of the names."""
    fold = IncidentFold("acme")
    fold.losses.add("acme", LossReason.INCIDENT_OVERFLOW, 7)
    fold.unopened = [f"s{number}" for number in range(7)]
    before = counted(LossReason.INCIDENT_OVERFLOW)
    tell_losses(fold)
    tell_losses(fold)
    assert counted(LossReason.INCIDENT_OVERFLOW) == before + 7
    assert capsys.readouterr().out.count("incident_not_opened") == 1


def test_replayed_tenants_beyond_the_bound_of_a_clock_are_a_loss_by_name() -> None:
    """Each time they are named; health and edges tell it with their own."""
    clock = ProgressClock(["source"])
    for number in range(4 * MAX_DRIVEN + 1):
        clock.mark_driven(f"t{number}")
    assert clock.drain_losses() == [Loss(f"t{4 * MAX_DRIVEN}", LossReason.DRIVEN_OVERFLOW, 1)]
    assert clock.drain_losses() == []
