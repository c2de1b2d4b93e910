"""Evidence outlives the telemetry it was taken from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from made_spans import MS_NS, SERVER, START_NS, MadeSpan, traces_payload
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.health import Exemplars, NodeKind
from schemas.incidents import Evidence, Hypothesis, HypothesisSet
from schemas.losses import LossReason
from schemas.settings import Settings
from schemas.snapshots import CallerFinding, NodeFinding, RankingSnapshot
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate as migrate_clickhouse
from sinks.clickhouse.raw_reads import trace
from sinks.postgres import pins
from sinks.postgres.migrate import migrate as migrate_postgres
from sinks.stores import Stores, open_stores
from streams.windows import SECOND_NS
from topologies import metrics
from topologies.pinning import TRACE_BYTES, TRACES_BYTES, Pinner

SLOW, NORMAL, MISSING = (number.to_bytes(16, "big").hex() for number in (1, 60, 9999))
ONSET_NS = START_NS + 100 * SECOND_NS


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open migrated stores."""
    async with open_stores(settings) as opened:
        await migrate_postgres(opened.postgres)
        await migrate_clickhouse(opened.clickhouse, settings)
        yield opened


def requests(trace_from: int, count: int, start_ns: int, took_ms: int, version: str) -> bytes:
    """Return requests of cart, one a trace, all of a version."""
    return traces_payload(
        MadeSpan(
            "cart", "GET /cart", SERVER, trace_from + number, 1, 0, start_ns + number * MS_NS,
            start_ns + (number + took_ms) * MS_NS, peer=(("app.version", version), ("request.id", f"r{number}")),
        )
        for number in range(count)
    )  # fmt: skip


async def land(stores: Stores) -> None:
    """Store a hundred usual requests, then fifty slow ones of a new version beside fifty usual ones."""
    sink = RawSink(stores.clickhouse)
    batches = [
        (1000, 100, ONSET_NS - 50 * SECOND_NS, 5, "1.4"),
        (1, 50, ONSET_NS, 90, "1.5"),
        (51, 50, ONSET_NS, 5, "1.4"),
    ]
    for offset, batch in enumerate(batches):
        row = RawRow("acme", 0, offset, requests(*batch), ONSET_NS)
        await sink.insert("otel.traces", [row])


def ranked(score: float = 2.0, version: int = 1) -> tuple[HypothesisSet, RankingSnapshot]:
    """Return a ranking that blames cart, and its snapshot."""
    evidence = Evidence(kind="series", summary="cart: own time 90 ms", query="/api/v1/services/cart/health")
    suspect = Hypothesis(
        rank=1, suspect_kind="service", service="cart", title="cart itself is slow", score=score, confidence=0.9,
        parts=[], evidence=[evidence],
    )  # fmt: skip
    as_of_ns = ONSET_NS + 30 * SECOND_NS
    ranking = HypothesisSet(
        tenant="acme",
        incident_id="inc-1",
        version=version,
        as_of_ns=as_of_ns,
        weights_version="w",
        hypotheses=[suspect],
    )
    cart = NodeFinding(
        service="cart", node_kind=NodeKind.SERVICE, requests=100, errors=0, is_entry=True, series=[],
        callers=[CallerFinding(client="shop", requests=100, errors=0)],
        exemplars=Exemplars(slow=[SLOW], failing=[MISSING], normal=[NORMAL]),
    )  # fmt: skip
    snapshot = RankingSnapshot(
        tenant="acme", incident_id="inc-1", version=version, as_of_ns=as_of_ns, onset_ns=ONSET_NS,
        start_ns=ONSET_NS, end_ns=as_of_ns, nodes=[cart], deploys=[],
    )  # fmt: skip
    return ranking, snapshot


async def test_pinned_traces_stay_when_raw_telemetry_is_deleted(stores: Stores) -> None:
    """With their spans, the graph and the queries; a trace that is not there is left out."""
    await land(stores)
    await Pinner(stores).pin(*ranked(), lambda: True)
    for table in ("spans", "trace_times"):
        await stores.clickhouse.command(f"TRUNCATE TABLE {table}")
    assert await trace(stores.clickhouse, "acme", SLOW) is None
    kept = await pins.kept(stores.postgres, "acme", "inc-1")
    assert set(kept) == {"opening", "peak"}
    traces = {one.role: one.trace for one in kept["opening"].traces}
    assert set(traces) == {"slow", "normal"}
    assert (traces["slow"].spans[0].name, traces["slow"].spans[0].duration_ns) == ("GET /cart", 90 * MS_NS)
    assert traces["slow"].spans[0].attributes["app.version"] == "1.5"
    assert [(edge.client, edge.server) for edge in kept["opening"].graph] == [("shop", "cart")]
    assert kept["opening"].evidence[0].query == "/api/v1/services/cart/health"
    assert await pins.kept(stores.postgres, "other", "inc-1") == {}


async def test_the_attribute_that_slow_requests_share_is_pinned_with_its_counts(stores: Stores) -> None:
    """The new version; a request's own id separates nothing."""
    await land(stores)
    await Pinner(stores).pin(*ranked(), lambda: True)
    (contrast,) = (await pins.kept(stores.postgres, "acme", "inc-1"))["opening"].contrasts
    (found,) = contrast.attributes
    assert (found.source, found.key, found.value) == ("span", "app.version", "1.5")
    assert (found.bad, found.bad_total, found.normal, found.normal_total) == (50, 50, 0, 150)
    again = await stores.clickhouse.query(contrast.query, contrast.parameters)
    assert {(row["value"], row["bad"]) for row in again if row["key"] == "app.version"} == {("1.5", 50), ("1.4", 0)}


def visits(trace_from: int, users: int, start_ns: int, took_ms: int, key: str = "user.id") -> bytes:
    """Return two requests of each of some users to the shop, which names them, and on to cart, which does not."""
    spans = []
    for number in range(2 * users):
        at_ns, trace_id = start_ns + number * MS_NS, trace_from + number
        peer = ((key, f"u{trace_from + number % users}"),)
        end_ns = at_ns + (took_ms + 1) * MS_NS
        spans.append(MadeSpan("shop", "GET /", SERVER, trace_id, 1, 0, at_ns, end_ns, peer=peer))
        spans.append(MadeSpan("cart", "GET /cart", SERVER, trace_id, 2, 1, at_ns, at_ns + took_ms * MS_NS))
    return traces_payload(spans)


async def test_the_users_that_are_hit_are_pinned_with_their_number(stores: Stores) -> None:
    """Twelve whose carts are slow, of forty that came since the onset; whoever came before is none of them."""
    sink = RawSink(stores.clickhouse)
    before = [(1000, 60, ONSET_NS - 50 * SECOND_NS, 5)]
    since = [(2000, 28, ONSET_NS, 5), (3000, 10, ONSET_NS, 90)]
    for offset, batch in enumerate(before + since):
        await sink.insert("otel.traces", [RawRow("acme", 0, offset, visits(*batch), ONSET_NS)])
    old_name = visits(4000, 2, ONSET_NS, 90, "enduser.id")
    await sink.insert("otel.traces", [RawRow("acme", 0, 8, old_name, ONSET_NS)])
    await sink.insert("otel.traces", [RawRow("other", 0, 9, visits(5000, 7, ONSET_NS, 90), ONSET_NS)])
    await Pinner(stores).pin(*ranked(), lambda: True)
    found = (await pins.kept(stores.postgres, "acme", "inc-1"))["opening"].users
    assert found is not None
    assert (found.users, found.hit) == (40, 12)
    assert await stores.clickhouse.query(found.query, found.parameters) == [{"users": 40, "hit": 12}]


async def test_without_names_no_users_are_counted(stores: Stores) -> None:
    """That is not the same as nobody."""
    await land(stores)
    await Pinner(stores).pin(*ranked(), lambda: True)
    assert (await pins.kept(stores.postgres, "acme", "inc-1"))["opening"].users is None


def gauges() -> bytes:
    """Return two gauges of cart, one point a minute for two hours: the one jumps at the onset."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    for key, value in (("service.name", "cart"), ("service.instance.id", "cart-1")):
        resource.resource.attributes.add(key=key).value.string_value = value
    metrics = resource.scope_metrics.add().metrics
    busy, calm = metrics.add(name="cpu.usage", unit="1").gauge, metrics.add(name="threads").gauge
    for minute in range(120):
        time_ns = ONSET_NS + (minute - 119) * 60 * SECOND_NS
        busy.data_points.add(time_unix_nano=time_ns, as_double=0.9 if minute == 119 else 0.2 + minute % 7 / 100)
        calm.data_points.add(time_unix_nano=time_ns, as_int=16)
    return request.SerializeToString()


async def test_the_metric_that_went_off_is_pinned_with_what_is_usual(stores: Stores) -> None:
    """A metric that did not move is not; the query reads the points again."""
    await RawSink(stores.clickhouse).insert("otel.metrics", [RawRow("acme", 0, 1, gauges(), ONSET_NS)])
    await Pinner(stores).pin(*ranked(), lambda: True)
    (found,) = (await pins.kept(stores.postgres, "acme", "inc-1"))["opening"].metrics
    (change,) = found.metrics
    assert (change.metric, change.instance, change.value, change.usual) == ("cpu.usage", "cart-1", 0.9, 0.23)
    assert change.since_ns == ONSET_NS
    again = await stores.clickhouse.query(found.query, found.parameters)
    assert {row["metric"]: len(row["points"]) for row in again} == {"cpu.usage": 120, "threads": 120}


async def test_the_opening_stays_and_the_peak_grows(stores: Stores) -> None:
    """Also when the process that pinned them has been replaced, and when a replay comes with less."""
    pinner = Pinner(stores)
    for score, version in ((2.0, 1), (1.0, 2), (3.0, 3)):
        await pinner.pin(*ranked(score, version), lambda: True)
    for score, version in ((2.0, 1), (2.5, 4)):
        await Pinner(stores).pin(*ranked(score, version), lambda: True)
    kept = await pins.kept(stores.postgres, "acme", "inc-1")
    assert (kept["opening"].version, kept["peak"].version) == (1, 3)


def heavy(trace_id: str, spans: int, own_bytes: int, shared_bytes: int) -> bytes:
    """Return a trace whose spans have so many bytes each, and share so many more."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "cart"
    for number in range(shared_bytes // 2_000):
        resource.resource.attributes.add(key=f"k{number}").value.string_value = "v" * 2_000
    scope = resource.scope_spans.add()
    for number in range(1, spans + 1):
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace_id), span_id=number.to_bytes(8, "big"), name="GET /cart", kind=2,
            start_time_unix_nano=ONSET_NS, end_time_unix_nano=ONSET_NS + MS_NS,
        )  # fmt: skip
        for place in range(own_bytes // 2_000):
            event = span.events.add(name="e", time_unix_nano=ONSET_NS)
            event.attributes.add(key=f"k{place}").value.string_value = "v" * 2_000
    return request.SerializeToString()


def pin_losses() -> float:
    """Return how many traces were cut or left out so far."""
    return float(metrics.LOSSES.labels(metrics.tenant_label("acme"), LossReason.PIN_OVERFLOW)._value.get())


async def test_pinned_traces_are_bounded_in_bytes_each_and_together(stores: Stores) -> None:
    """One of 500 spans that share 100 kB is cut; one whose only span is too large is left out; both are counted."""
    sink, lost = RawSink(stores.clickhouse), pin_losses()
    for offset, value in enumerate((heavy(SLOW, 500, 0, 100_000), heavy(NORMAL, 1, TRACES_BYTES, 0))):
        await sink.insert("otel.traces", [RawRow("acme", 0, offset, value, ONSET_NS)])
    await Pinner(stores).pin(*ranked(), lambda: True)
    (kept,) = (await pins.kept(stores.postgres, "acme", "inc-1"))["opening"].traces
    assert (kept.role, kept.trace.truncated) == ("slow", True)
    assert TRACE_BYTES / 2 < len(kept.model_dump_json()) < 1.2 * TRACE_BYTES
    assert pin_losses() == lost + 2


async def test_evidence_that_the_store_refuses_is_counted_and_ranking_goes_on(stores: Stores) -> None:
    """As PostgreSQL does with a document that is too large for it; the next pin is kept."""
    await land(stores)
    lost, pinner = pin_losses(), Pinner(stores)
    await stores.postgres.execute("ALTER TABLE incident_pins ADD CONSTRAINT full_up CHECK (strength < 2.5)")
    await pinner.pin(*ranked(3.0), lambda: True)
    assert (await pins.kept(stores.postgres, "acme", "inc-1"), pin_losses()) == ({}, lost + 4)
    await stores.postgres.execute("ALTER TABLE incident_pins DROP CONSTRAINT full_up")
    await pinner.pin(*ranked(4.0, 2), lambda: True)
    assert (await pins.kept(stores.postgres, "acme", "inc-1"))["peak"].version == 2


async def test_evidence_that_an_earlier_version_kept_is_read_within_the_bound(stores: Stores) -> None:
    """Without its traces, and with all else."""
    await land(stores)
    await Pinner(stores).pin(*ranked(), lambda: True)
    for most_bytes, traces in ((1 << 20, 2), (1_000, 0)):
        found = (await pins.kept(stores.postgres, "acme", "inc-1", most_bytes))["opening"]
        assert (len(found.traces), len(found.evidence)) == (traces, 1)
