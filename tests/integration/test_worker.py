"""A worker on the embedded stack: OTLP on Kafka in, rows and windows in the stores, nothing lost silently."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP
from google.protobuf.json_format import MessageToJson
from live_worker import PARTITIONS, eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import SECOND_NS, START_NS, TRACES_A_RECORD, add_exception, add_purchase, log_request, second, ticks

from schemas.dead_letters import DeadLetter
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, LOGS, TRACES
from sinks.kafka.producer import Message
from sinks.redis import picture
from sinks.stores import Stores
from topologies.worker import Worker


@pytest.mark.timeout(180)
async def test_otlp_on_kafka_becomes_rows_windows_and_dead_letters(own_broker: Settings) -> None:
    """A minute of traces, one message as JSON and one of garbage: all counted where they belong.

    An exception that a span tells of in an event and in a log record is one.
    """
    settings = quick(own_broker)
    as_json = ExportTraceServiceRequest()
    add_purchase(as_json, 999_999, START_NS + 59 * SECOND_NS)
    refused = as_json.resource_spans[1].scope_spans[0].spans[0]
    add_exception(refused.events.add(name="exception", time_unix_nano=refused.end_time_unix_nano).attributes)
    logged = log_request(5, START_NS + 59 * SECOND_NS)
    record = logged.resource_logs[0].scope_logs[0].log_records[0]
    record.trace_id, record.span_id = refused.trace_id, refused.span_id
    add_exception(record.attributes)
    async with running(settings) as (stores, worker):
        for number in range(60):
            await stores.producer.send_many(second(number, "acme", PARTITIONS))
        headers = second(60, "acme", PARTITIONS)[0].headers
        await stores.producer.send_many(
            [
                Message(TRACES.name, _otlp_json(as_json), None, headers, 0),
                Message(TRACES.name, b"\xff\xfe garbage", None, headers, 1),
                Message(TRACES.name, None, b"key", headers, 1),
                Message(LOGS.name, logged.SerializeToString(), None, headers, 1),
                *ticks(START_NS + 400 * SECOND_NS, "acme", PARTITIONS),
            ]
        )
        spans = (60 * PARTITIONS * TRACES_A_RECORD + 1) * 4
        await eventually(lambda: _count(stores, "SELECT count() FROM spans WHERE tenant = 'acme'"), spans)
        requests = "SELECT sum(requests) FROM service_panes FINAL WHERE tenant = 'acme' AND service = 'frontend'"
        await eventually(lambda: _count(stores, requests), spans // 4)
        edges = "SELECT sum(paired) FROM edge_panes FINAL WHERE tenant = 'acme' AND server = 'cart'"
        await eventually(lambda: _count(stores, edges), spans // 4)
        thrown = "SELECT sum(lines) FROM signature_panes FINAL WHERE kind = 'exception' AND service = 'cart'"
        await eventually(lambda: _count(stores, thrown), 1)
        shown = {health.service for health in await picture(stores.redis, "acme")}
        assert shown == {"frontend", "cart", "postgresql:shop"}
        letters = await _dead_letters(settings, 2)
        assert {letter.reason for letter in letters} == {"decode", "null_value"}
        assert all(letter.tenant == "acme" for letter in letters)
        await eventually(lambda: _knows_of_commits(worker), True)
        assert worker.app.failure is None


@pytest.mark.timeout(120)
async def test_services_whose_spans_have_no_kind_have_windows_requests_and_edges(own_broker: Settings) -> None:
    """Where a span lies in its trace says which side of a call it is: each of 20 s of purchases is one of both."""
    purchases = 20 * PARTITIONS * TRACES_A_RECORD
    async with running(quick(own_broker)) as (stores, worker):
        for number in range(20):
            await stores.producer.send_many([_without_kinds(one) for one in second(number, "acme", PARTITIONS)])
        await stores.producer.send_many(ticks(START_NS + 400 * SECOND_NS, "acme", PARTITIONS))
        for service in ("frontend", "cart"):
            requests = f"SELECT sum(requests) FROM service_panes FINAL WHERE tenant = 'acme' AND service = '{service}'"
            await eventually(partial(_count, stores, requests), purchases)
        edges = (
            "SELECT sum(paired) FROM edge_panes FINAL WHERE tenant = 'acme' AND client = 'frontend' AND server = 'cart'"
        )
        await eventually(lambda: _count(stores, edges), purchases)
        shown = {health.service for health in await picture(stores.redis, "acme")}
        assert shown == {"frontend", "cart", "postgresql:shop"}
        assert worker.app.failure is None


def _without_kinds(message: Message) -> Message:
    """Return the record with kinds left out of its spans, as home-made exporters do."""
    if message.topic != TRACES.name or not message.value:
        return message
    request = ExportTraceServiceRequest.FromString(message.value)
    for resource in request.resource_spans:
        for span in resource.scope_spans[0].spans:
            span.ClearField("kind")
    return replace(message, value=request.SerializeToString())


async def _knows_of_commits(worker: Worker) -> bool:
    """Tell whether Faust's own watch, which logs errors where nothing was committed for minutes, was told."""
    return TP(TRACES.name, 0) in worker.app.consumer._thread.tp_last_committed_at


@pytest.mark.timeout(120)
async def test_record_without_a_tenant_goes_to_the_dead_letters_when_told_so(own_broker: Settings) -> None:
    """The setting decides; nobody's telemetry is not stored as somebody's."""
    settings = quick(own_broker).model_copy(update={"missing_tenant": "dead_letter"})
    request = ExportTraceServiceRequest()
    add_purchase(request, 1, START_NS)
    async with running(settings) as (stores, _):
        await stores.producer.send(TRACES.name, request.SerializeToString(), partition=0)
        twice = ((TENANT_HEADER, b"one"), (TENANT_HEADER, b"two"))
        await stores.producer.send(TRACES.name, request.SerializeToString(), headers=twice, partition=0)
        letters = await _dead_letters(settings, 2)
        assert {letter.reason for letter in letters} == {"bad_tenant"}
        assert await _count(stores, "SELECT count() FROM spans") == 0


def _otlp_json(request: ExportTraceServiceRequest) -> bytes:
    """Return OTLP's JSON, whose ids are hexadecimal."""
    document = json.loads(MessageToJson(request))
    for resource, original in zip(document["resourceSpans"], request.resource_spans, strict=True):
        spans = zip(resource["scopeSpans"][0]["spans"], original.scope_spans[0].spans, strict=True)
        for span, source in spans:
            span["traceId"], span["spanId"] = source.trace_id.hex(), source.span_id.hex()
            span["parentSpanId"] = source.parent_span_id.hex()
    return json.dumps(document).encode()


async def _count(stores: Stores, sql: str) -> int:
    return int(await stores.clickhouse.command(sql))


async def _dead_letters(settings: Settings, count: int) -> list[DeadLetter]:
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers) as consumer:
        consumer.assign([TopicPartition(DEAD_LETTERS.name, number) for number in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(120):
            return [DeadLetter.model_validate_json((await consumer.getone()).value) for _ in range(count)]
