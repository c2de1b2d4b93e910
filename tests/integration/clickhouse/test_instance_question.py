"""The question that a hypothesis brings along for the instances of its service is one that ClickHouse answers."""

from __future__ import annotations

from made_spans import MS_NS, SERVER, START_NS, MadeSpan, traces_payload

from schemas.health import NodeKind
from schemas.snapshots import InstanceFinding, NodeFinding, PartCounts, RankingSnapshot
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from streams.hypotheses import rank
from streams.windows import SECOND_NS

SERVICE = "o'hara\\"
END_NS = START_NS + 60 * SECOND_NS


def found(number: int, errors: int) -> InstanceFinding:
    """Return what an instance did since the onset."""
    return InstanceFinding(instance=f"i{number}", since=PartCounts(requests=50, errors=errors), before=PartCounts())


async def test_the_instances_of_a_service_are_counted_again(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """From raw spans, by what names each instance; also of a service whose name has to be quoted."""
    keys = ("service.instance.id", "k8s.pod.name", "host.name")
    spans = [
        MadeSpan(
            SERVICE, "GET /", SERVER, number + 1, 1, 0, START_NS, START_NS + 5 * MS_NS, error=number % 3 == 1,
            instance=(keys[number % 3], f"i{number % 3}"),
        )
        for number in range(9)
    ]  # fmt: skip
    await sink.insert("otel.traces", [RawRow(tenant, 0, 0, traces_payload(spans), START_NS)])
    node = NodeFinding(
        service=SERVICE, node_kind=NodeKind.SERVICE, requests=150, errors=40, is_entry=True, callers=[], series=[],
        instances=[found(0, 0), found(1, 40), found(2, 0)],
    )  # fmt: skip
    snapshot = RankingSnapshot(
        tenant=tenant, incident_id="inc-1", version=1, as_of_ns=END_NS, onset_ns=START_NS, start_ns=START_NS,
        end_ns=END_NS, nodes=[node], deploys=[],
    )  # fmt: skip
    (first,) = rank(snapshot).hypotheses
    query = next(one.query for one in first.evidence if "i1" in one.summary)
    rows = await clickhouse.query(query)
    assert [(row["instance"], row["requests"], row["errors"], row["p95_ms"]) for row in rows] == [
        ("i0", 3, 0, 5.0), ("i1", 3, 3, 5.0), ("i2", 3, 0, 5.0),
    ]  # fmt: skip
