"""A tenant that has two of everything the API tells of, all of it marked."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any, Final

from api_caller import Caller
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api import examples
from api.examples_services import SERVICE as EXAMPLE
from schemas.dead_letters import DeadLetter
from schemas.errors import RejectReason
from schemas.health import Exemplars, NodeKind, OperationHealth, RedStats, ServiceHealth, SignatureCount
from schemas.incidents import Deploy, HypothesisSet
from sinks import redis
from sinks.clickhouse.accounts import Note, write_notes
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.panes import PaneSink
from sinks.postgres import dead_letters, deploys, incidents, outbox, pins, rankings, resemblance
from streams.resemblance import vector_of

MARK: Final = "5ec2e7a15ec2e7a15ec2e7a15ec2e7a1"
"""In names and texts that nobody asks for; 32 hex digits, so that it can be the id of a trace as well."""

SERVICE: Final = "till"
OPERATION: Final = "POST /pay"
TRACE_ID: Final = "0123456789abcdef0123456789abcdef"
PANE_NS: Final = 10_000_000_000
MINUTE_NS: Final = 60_000_000_000


async def keep_everything(of: Caller) -> dict[str, str | int]:
    """Store it; return, by the names of the API's parameters, what one of each is asked by."""
    now_ns = time.time_ns() // PANE_NS * PANE_NS
    for number in (1, 2):
        await _keep_incident(of, number, now_ns)
        deploy = Deploy(deploy_id=f"d-{number}", tenant=of.tenant, service=SERVICE, at_ns=now_ns, description=MARK)
        await deploys.record(of.stores.postgres, deploy)
    letters = [_letter(of, number, now_ns) for number in (1, 2)]
    await dead_letters.store(of.stores.postgres, letters)
    await _keep_pane(of, now_ns - 6 * PANE_NS)
    await _land(of, now_ns)
    await write_notes(of.stores.clickhouse, [Note("otel.traces", 0, of.tenant, "stored", 1, 2, now_ns, now_ns)])
    return {
        "incident_id": "inc-2", "alert_id": "a-2", "key": letters[0].key, "trace_id": TRACE_ID, "service": SERVICE,
        "operation": OPERATION, "topic": "otel.traces", "at": now_ns, "start": now_ns - 60 * MINUTE_NS, "end": now_ns,
    }  # fmt: skip


async def _keep_incident(of: Caller, number: int, now_ns: int) -> None:
    pool, incident_id, onset_ns = of.stores.postgres, f"inc-{number}", now_ns + number
    own: dict[str, Any] = {"tenant": of.tenant, "incident_id": incident_id, "title": MARK, "onset_ns": onset_ns}
    (service, *_) = examples.EVENT.services
    till = [service.model_copy(update={"service": SERVICE})]
    event = {"event_id": f"e-{number}", "sequence": 0, "kind": "opened", "at_ns": onset_ns, "services": till}
    await incidents.apply_event(pool, examples.EVENT.model_copy(update=own | event))
    ranking = HypothesisSet(
        tenant=of.tenant, incident_id=incident_id, version=1, as_of_ns=onset_ns, weights_version="w1",
        hypotheses=[examples.HYPOTHESIS.model_copy(update={"title": MARK})],
    )  # fmt: skip
    await rankings.put(pool, ranking, examples.SNAPSHOT)
    assert examples.PINNED.opening is not None
    await pins.keep(pool, of.tenant, incident_id, 1.0, examples.PINNED.opening)
    features = {f"service {SERVICE}": 1.0}
    await resemblance.keep(pool, of.tenant, incident_id, 1, onset_ns, features, vector_of(features))
    alert = {"alert_id": f"a-{number}", "at_ns": onset_ns}
    await outbox.enqueue(pool, examples.ALERT.alert.model_copy(update=own | alert), ["topic"], wall_ns=onset_ns)


def _letter(of: Caller, number: int, now_ns: int) -> DeadLetter:
    payload = MARK.encode()
    return DeadLetter(
        topic="otel.traces", partition=0, offset=int(of.tenant[1:]) * 1_000 + number, item=number, items=[number],
        tenant=of.tenant, reason=RejectReason.DECODE, detail=MARK, payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_bytes=len(payload), payload_base64=base64.b64encode(payload).decode(), decoder_version="otlp-1",
        first_seen_ns=now_ns,
    )  # fmt: skip


async def _keep_pane(of: Caller, pane_start_ns: int) -> None:
    stats = RedStats(requests=10, errors=1, rate_per_s=1.0, error_rate=0.1, p95_ms=40.0)
    (edge,) = EXAMPLE.edges_in
    seen = SignatureCount(
        signature="5f1c0e9a7b3d2c46", kind="log", template=MARK, severity="error", pane=3, window=3,
        first_seen_ns=pane_start_ns, sample=MARK,
    )  # fmt: skip
    pane = ServiceHealth(
        tenant=of.tenant, service=SERVICE, node_kind=NodeKind.SERVICE, pane_start_ns=pane_start_ns, pane_s=10,
        window_s=60, revision=0, version=1, final=True, pane=stats, window=stats, signatures=[seen],
        edges_in=[edge.model_copy(update={"client": MARK})], exemplars=Exemplars(failing=[MARK], slow=[MARK]),
        operations=[OperationHealth(operation=name, kind="server", pane=stats, window=stats)
                    for name in (OPERATION, MARK)],
    )  # fmt: skip
    await PaneSink(of.stores.clickhouse).write_panes([pane])
    await redis.set_health(of.stores.redis, pane)


async def _land(of: Caller, now_ns: int) -> None:
    spans, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    spans.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes.fromhex(TRACE_ID), span_id=bytes(7) + b"\1", name=MARK, start_time_unix_nano=now_ns,
        end_time_unix_nano=now_ns + 1,
    )  # fmt: skip
    line = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=now_ns, severity_number=17)
    line.trace_id, line.body.string_value = bytes.fromhex(TRACE_ID), MARK
    sink = RawSink(of.stores.clickhouse)
    for topic, request in (("otel.traces", spans), ("otel.logs", logs)):
        offset = int(of.tenant[1:]) * 1_000
        row = RawRow(tenant=of.tenant, partition=0, offset=offset, arrival_ns=now_ns, value=request.SerializeToString())
        await sink.insert(topic, [row])
