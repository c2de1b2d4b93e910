"""Reconciling a real worker's ingest: every offset is accounted for, and a gap is found and named."""

from __future__ import annotations

import time

import pytest
from live_worker import PARTITIONS, eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import SECOND_NS, add_purchase

from schemas.errors import StoreError
from schemas.incidents import IncidentState
from schemas.keys import TENANT_HEADER
from schemas.reconciling import GapCause, PartitionAccount, Reconciliation
from schemas.settings import Settings
from schemas.topics import METRICS, TRACES
from sinks.kafka.producer import Message
from sinks.postgres import alerts
from sinks.reconciling import reconcile
from sinks.stores import Stores, open_stores
from topologies.reconciling import show
from topologies.self_watch import DELAYED, SelfWatch
from topologies.worker import Worker

GOOD = 30
GARBAGE = 4


def purchase(trace: int) -> bytes:
    """Return one trace of four spans that ended a second ago."""
    request = ExportTraceServiceRequest()
    add_purchase(request, trace, time.time_ns() - SECOND_NS)
    return request.SerializeToString()


async def produce(stores: Stores) -> None:
    """Send good records of one tenant and garbage of another, and one request without content."""
    acme, evil = ((TENANT_HEADER, b"acme"),), ((TENANT_HEADER, b"evil"),)
    messages = [Message(TRACES.name, purchase(number), None, acme, number % PARTITIONS) for number in range(GOOD)]
    messages += [Message(TRACES.name, b"\xff\xff", None, evil, number % PARTITIONS) for number in range(GARBAGE)]
    messages += [Message(METRICS.name, b"", b"empty", acme, 1)]
    await stores.producer.send_many(messages)


async def settled(settings: Settings, stores: Stores) -> int:
    """Return how many of what was produced is accounted for and committed."""
    found = await reconcile(settings, stores.clickhouse)
    return (
        sum(tenant.outcomes.total() for tenant in found.tenants if tenant.tenant in ("acme", "evil"))
        if all(one.floor_offset > 0 for one in found.partitions if one.topic == TRACES.name)
        else 0
    )


def traces_of(found: Reconciliation, partition: int) -> PartitionAccount:
    """Return the account of one partition of the traces."""
    (one,) = [one for one in found.partitions if (one.topic, one.partition) == (TRACES.name, partition)]
    return one


@pytest.mark.timeout(400)
async def test_every_offset_is_accounted_for_and_a_gap_is_named(broker: Settings) -> None:
    """Stored, refused, empty and ticks add up to what the broker has; a forgotten offset is missing by its number."""
    waits = {"lateness_s": 1.0, "pair_wait_s": 1.0, "settle_s": 0.5, "session_timeout_s": 6.0}
    settings = quick(broker).model_copy(update=waits)
    async with running(settings) as (stores, worker):
        await produce(stores)
        await eventually(lambda: settled(settings, stores), GOOD + GARBAGE + 1)
        found = await reconcile(settings, stores.clickhouse)
        assert found.complete, found
        by_tenant = {(one.tenant, one.topic): one.outcomes for one in found.tenants}
        assert (by_tenant["acme", TRACES.name].stored, by_tenant["evil", TRACES.name].refused) == (GOOD, GARBAGE)
        assert by_tenant["acme", METRICS.name].empty == 1
        (delay_s,) = [one.ingest_delay_s for one in found.tenants if (one.tenant, one.topic) == ("acme", TRACES.name)]
        assert delay_s is not None
        assert 0 < delay_s < 300
        floor = await _floor_above(settings, stores, GOOD // PARTITIONS)
        await _forget(stores, 0, [3, 4, 9])
        found = await reconcile(settings, stores.clickhouse)
        gaps = [(gap.first_offset, gap.last_offset, gap.cause) for gap in traces_of(found, 0).gaps]
        assert gaps == [(3, 4, GapCause.MISSING), (9, 9, GapCause.MISSING)]
        assert (found.complete, traces_of(found, 0).missing_records, traces_of(found, 1).missing_records) == (
            False,
            3,
            0,
        )
        assert floor > 9
        lines: list[str] = []
        show(found, lines.append)
        assert any("MISSING 3 to 4, 2 records: missing" in line for line in lines)
        await _watch(worker, settings, stores)


async def _watch(worker: Worker, settings: Settings, stores: Stores) -> None:
    """The operator is told once of the missing records, after two looks, and of no delay."""
    watch = SelfWatch(worker.app, settings, stores)
    for _ in range(4):
        await watch.look()
    told = await alerts.page(stores.postgres, settings.operator)
    assert [(one.alert.incident_id, one.alert.state) for one in told] == [("ingest-missing", IncidentState.OPEN)]
    assert "otel.traces/0: 3 to 4 (missing)" in told[0].alert.summary


@pytest.mark.timeout(400)
async def test_records_that_nobody_reads_are_told_of_and_the_end_of_it_too(own_broker: Settings) -> None:
    """Without a worker the lag is seen from outside; when one has caught up, the alert is resolved.

    A write that fails between two looks costs a look, and never the alert.
    """
    settings = quick(own_broker).model_copy(update={"ingest_delay_alert_s": 0.001})
    async with running(settings) as (stores, worker):
        pass
    async with open_stores(settings) as stores:
        await produce(stores)
        watch = SelfWatch(worker.app, settings, stores)
        await watch.look()
        assert await alerts.page(stores.postgres, settings.operator, incident_id=DELAYED) == []
        await stores.postgres.execute("ALTER TABLE alert_deliveries ADD CONSTRAINT away CHECK (false) NOT VALID")
        with pytest.raises(StoreError):  # an alert that could not be stored was not told
            await watch.look()
        await stores.postgres.execute("ALTER TABLE alert_deliveries DROP CONSTRAINT away")
        await watch.look()
        (told,) = await alerts.page(stores.postgres, settings.operator, incident_id=DELAYED)
        assert (told.alert.state, told.alert.tenant) == (IncidentState.OPEN, "default")
    async with running(settings) as (stores, worker):
        watch = SelfWatch(worker.app, settings.model_copy(update={"ingest_delay_alert_s": 60.0}), stores)
        await eventually(lambda: _looks_well(watch, stores, settings), 1)


async def _looks_well(watch: SelfWatch, stores: Stores, settings: Settings) -> int:
    await watch.look()
    newest = await alerts.page(stores.postgres, settings.operator, incident_id=DELAYED, limit=1)
    return newest[0].alert.state is IncidentState.RESOLVED


async def _floor_above(settings: Settings, stores: Stores, least: int) -> int:
    async def is_above() -> int:
        return traces_of(await reconcile(settings, stores.clickhouse), 0).floor_offset > least

    await eventually(is_above, True)
    return traces_of(await reconcile(settings, stores.clickhouse), 0).floor_offset


async def _forget(stores: Stores, partition: int, offsets: list[int]) -> None:
    """Take some offsets out of the account as if they had been lost, while the worker goes on writing to it."""
    lost = ",".join(map(str, offsets))
    await stores.clickhouse.command(
        f"ALTER TABLE offset_accounts UPDATE"
        f" offsets = bitmapBuild(arrayFilter(o -> o NOT IN ({lost}), bitmapToArray(offsets)))"
        f" WHERE topic = '{TRACES.name}' AND kafka_partition = {partition} SETTINGS mutations_sync = 2"
    )
