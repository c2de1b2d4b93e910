"""``incidentscope operations``: which span names would be one operation, without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.errors import BadPayload, SetupError
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.raw_reads import span_names
from streams.operation_names import merged_names
from streams.otlp import Signal, decode_spans, open_payload
from topologies.recordings import Recording

SHOWN_NAMES = 3

Tell = Callable[[str], None]


def names_in_recording(folder: Path) -> Counter[str]:
    """Return the span names of a recording with their spans. Raises `SetupError` when it is none."""
    found: Counter[str] = Counter()
    with Recording(folder) as recording:
        for message in recording.messages():
            if message.signal == "traces":
                found.update(_names_in(message.value))
    return found


def _names_in(payload: bytes) -> list[str]:
    try:
        columns = decode_spans(open_payload(payload, Signal.TRACES))
    except BadPayload:
        return []
    return [columns.names[at] for at in columns.operation.tolist()]


async def stored_names(settings: Settings, tenant: str, hours: float) -> dict[str, int]:
    """Return the span names stored of a tenant lately. Raises `SetupError`, `StoreUnavailable`."""
    dsn = settings.clickhouse_dsn.get_secret_value()
    if not dsn:
        raise SetupError(
            "there is no ClickHouse to ask", "set INCIDENTSCOPE_CLICKHOUSE_DSN, or name the folder of a recording"
        )
    clickhouse = await ClickHouse.open(dsn, connections=1)
    try:
        return await span_names(clickhouse, tenant, hours)
    finally:
        await clickhouse.close()


def show_merges(spans: Mapping[str, int], tell: Tell) -> None:
    """Tell each operation that would stand for other names, most names first, with some of them."""
    merges = merged_names(spans)
    for operation in sorted(merges, key=lambda one: (-len(merges[one]), one)):
        names = merges[operation]
        tell(f"{operation}   {len(names)} names, {sum(names.values())} spans")
        for name in sorted(names, key=lambda one: (-names[one], one))[:SHOWN_NAMES]:
            tell(f"    {name}")
    operations = len(spans) - sum(len(names) for names in merges.values()) + len(merges)
    tell(f"{len(spans)} span names, {operations} operations")
