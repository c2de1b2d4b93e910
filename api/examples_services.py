"""Examples for the API's description: what is asked about services, edges and traces."""

from __future__ import annotations

from typing import Final

from api.examples import DEPLOY, EVENT, ONSET_NS, TRACE_ID, S
from api.paths import health_path
from api.views.services import HealthSeries, IncidentBrief, ServiceDetail, ServiceList, ServiceMap, SignatureList
from api.views.traces import TraceLogs, TraceView
from schemas.health import ConnectionType, EdgeHealth, EdgeStats, Exemplars, NodeKind, OperationHealth, RedStats
from schemas.incidents import IncidentState, Severity
from schemas.queries import HealthPoint, LogLine, MapEdge, ServiceSummary, SignatureSummary, Trace, TraceSpan

_WINDOW: Final = RedStats(
    requests=1_920, errors=14, rate_per_s=32.0, error_rate=0.0073, p50_ms=18.0, p95_ms=451.0, p99_ms=612.0,
    self_p50_ms=6.0, self_p95_ms=11.0,
)  # fmt: skip
_EDGE: Final = EdgeStats(
    requests=318, errors=0, paired=0, virtual=318, expired=0, client_p50_ms=410.0, client_p95_ms=414.0,
    server_p50_ms=1.0, server_p95_ms=2.0, gap_p50_ms=409.0, gap_p95_ms=412.0,
)  # fmt: skip
_SUMMARY: Final = ServiceSummary(
    service="checkout",
    node_kind=NodeKind.SERVICE,
    pane_start_ns=ONSET_NS,
    window_s=60,
    window=_WINDOW,
    slow_traces=[TRACE_ID],
    baseline="reliable",
    hour_of_week="learning",
)
SERVICE_LIST: Final = ServiceList(as_of_ns=ONSET_NS + 12 * S, items=[_SUMMARY], truncated=False)
SERVICE: Final = ServiceDetail(
    service="checkout",
    node_kind=NodeKind.SERVICE,
    pane_start_ns=ONSET_NS,
    window_s=60,
    window=_WINDOW,
    operations=[OperationHealth(operation="POST /checkout", kind="server", pane=_WINDOW, window=_WINDOW)],
    edges_in=[
        EdgeHealth(
            client="web",
            client_kind=NodeKind.SERVICE,
            connection_type=ConnectionType.REQUEST,
            pane=_EDGE,
            window=_EDGE,
        )
    ],
    log_severities={"info": 1_901, "error": 14},
    baseline="reliable",
    hour_of_week="learning",
    exemplars=Exemplars(slow=[TRACE_ID]),
    incidents=[
        IncidentBrief(
            incident_id="inc-7d1f0c52",
            name="INC-7",
            state=IncidentState.OPEN,
            severity=Severity.HIGH,
            title=EVENT.title,
            onset_ns=ONSET_NS,
        )
    ],
    deploys=[DEPLOY],
    links={"health": health_path("checkout", ONSET_NS - 3600 * S, ONSET_NS + 1)},
)
HEALTH_SERIES: Final = HealthSeries(
    service="checkout",
    start_ns=ONSET_NS,
    end_ns=ONSET_NS + 3600 * S,
    items=[
        HealthPoint(
            pane_start_ns=ONSET_NS,
            revision=0,
            final=True,
            pane=_WINDOW,
            window=_WINDOW,
            log_severities={"info": 311},
            slow_traces=[TRACE_ID],
        )
    ],
)
SIGNATURES: Final = SignatureList(
    service="checkout",
    start_ns=ONSET_NS,
    end_ns=ONSET_NS + 3600 * S,
    truncated=False,
    items=[
        SignatureSummary(
            signature="5f1c0e9a7b3d2c46",
            kind="log",
            template="<time> ERROR payment of order <id> failed: <*>",
            severity="error",
            lines=14,
            first_seen_ns=ONSET_NS,
            last_seen_ns=ONSET_NS + 20 * S,
            panes=[(ONSET_NS, 3), (ONSET_NS + 10 * S, 6), (ONSET_NS + 20 * S, 5)],
            sample="12:30:01 ERROR payment of order 4711 failed: timeout",
            sample_trace_id=TRACE_ID,
        )
    ],
)
MAP: Final = ServiceMap.of(
    ONSET_NS,
    [
        MapEdge(
            client="checkout",
            client_kind=NodeKind.SERVICE,
            server="postgresql:orders",
            server_kind=NodeKind.DATABASE,
            connection_type=ConnectionType.DATABASE,
            pane_start_ns=ONSET_NS,
            window=_EDGE,
        )
    ],
)
TRACE: Final = TraceView.of(
    Trace(
        trace_id=TRACE_ID,
        spans=[
            TraceSpan(
                trace_id=TRACE_ID,
                span_id="b7ad6b7169203331",
                parent_span_id="00f067aa0ba902b7",
                service="checkout",
                name="POST /checkout",
                kind="server",
                status="unset",
                start_ns=ONSET_NS,
                end_ns=ONSET_NS + 420_000_000,
                duration_ns=420_000_000,
                attributes={"http.response.status_code": 200},
            )
        ],
        truncated=False,
    )
)
TRACE_LOGS: Final = TraceLogs(
    trace_id=TRACE_ID,
    items=[
        LogLine(
            time_ns=ONSET_NS + 1_000_000,
            service="checkout",
            severity="warn",
            severity_text="WARNING",
            body="slow query",
            trace_id=TRACE_ID,
            span_id="b7ad6b7169203331",
        )
    ],
    truncated=False,
)
