"""The same recording through a real Collector's connectors, our windows, and SQL over our raw tables.

Calls by service, operation, kind and status, and 95th percentiles, must be the same. Requests between services must be
the same, or the difference explained edge by edge: the Collector completes one pair a client span, we count each
server.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from collector import collector_figures
from figures import bucket_of, p95_bucket
from ours import OurFigures, stored_figures, stored_p95_ns, window_figures
from pairing import Pairing, pairing_of

from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate
from streams.latency import SHIFT, Bins, quantile_ns, value_of
from topologies.recordings import RecordedMessage, Recording

pytestmark = [pytest.mark.otelcol, pytest.mark.timeout(600)]

OURS = Path(__file__).parents[2] / "data" / "shop-delay"
OTHERS = ("ob-0822-12", "tt-0129-01")
ROWS = 256
"""Records of one insert."""


def _recordings() -> list[object]:
    others = Path(os.environ.get("INCIDENTSCOPE_RECORDINGS", "recordings"))
    marked = [pytest.param(others / name, marks=pytest.mark.recordings, id=name) for name in OTHERS]
    return [pytest.param(OURS, id=OURS.name), *marked]


@pytest.fixture(params=_recordings())
def messages(request: pytest.FixtureRequest) -> list[RecordedMessage]:
    """Give the trace messages of a recording."""
    with Recording(request.param) as recording:
        return [message for message in recording.messages() if message.signal == "traces"]


async def test_the_collector_our_windows_and_our_tables_count_the_same(
    messages: list[RecordedMessage], settings: Settings, tmp_path: Path
) -> None:
    """Three independent ways to the same figures."""
    payloads = [message.value for message in messages]
    facts = pairing_of(payloads)
    theirs = await collector_figures(tmp_path, payloads, facts.spans, facts.calls.total())
    ours = window_figures(messages)
    assert not +ours.late, "late spans are in no window; these recordings have none"

    assert +ours.calls == +theirs.calls
    assert ours.durations.keys() == theirs.durations.keys()
    for operation, counts in theirs.durations.items():
        assert p95_bucket(counts) in _p95_buckets(ours.durations[operation]), operation

    assert +theirs.requests == facts.calls
    _explain_edges(ours, facts)
    same = [edge for edge in facts.calls if not (facts.more_servers[edge] or facts.without_client[edge])]
    assert {e: ours.failures[e] for e in same} == {e: theirs.failures[e] for e in same}

    clickhouse = await ClickHouse.open(settings.clickhouse_dsn.get_secret_value())
    try:
        await _land(clickhouse, settings, messages)
        stored = await stored_figures(clickhouse, settings.default_tenant)
        assert +stored.calls == +theirs.calls
        assert stored.requests == facts.calls
        assert +stored.failures == +theirs.failures
        for operation, p95_ns in (await stored_p95_ns(clickhouse, settings.default_tenant)).items():
            assert bucket_of(p95_ns) == p95_bucket(theirs.durations[operation]), operation
    finally:
        await clickhouse.close()


def _p95_buckets(bins: Bins) -> range:
    """Return the buckets our 95th percentile may lie in: one, or two where its sketch bin straddles a bound."""
    middle_ns = quantile_ns(bins, 0.95)
    assert middle_ns is not None
    half = 2.0 ** (SHIFT - 24)
    return range(bucket_of(middle_ns * (1 - half)), bucket_of(middle_ns * (1 + half)) + 1)


def _explain_edges(ours: OurFigures, facts: Pairing) -> None:
    """What we count beyond completed pairs is exactly the requests that a pairing store cannot tell."""
    expected = facts.calls + facts.more_servers + facts.without_client
    assert +ours.requests == expected


async def _land(clickhouse: ClickHouse, settings: Settings, messages: list[RecordedMessage]) -> None:
    await migrate(clickhouse, settings)
    rows = [
        RawRow(settings.default_tenant, 0, offset, message.value, message.arrival_ns)
        for offset, message in enumerate(messages)
    ]
    sink = RawSink(clickhouse)
    for first in range(0, len(rows), ROWS):
        await sink.insert(TRACES.name, rows[first : first + ROWS])


def test_a_sketch_bin_is_as_wide_as_the_comparison_allows() -> None:
    """Midpoint plus and minus 1/64 covers the bin: the tolerance above is the sketch's and no more."""
    for place in (4000, 4001, 4063):
        low, high = value_of(place), value_of(place + 1)
        assert low * (1 + 2.0 ** (SHIFT - 24)) <= high
