"""Edges of made spans: one source and one stub partition, and what is read from the panes they give."""

from __future__ import annotations

from typing import Any

from made_spans import (
    MS_NS,
    START_NS,
    MadeSpan,
    traces_payload,
)

from streams.contents import EdgeTally, PaneContents
from streams.edges import EdgeFold
from streams.latency import value_of
from streams.otlp import decode_spans
from streams.partials import ServicePartial
from streams.progress import Progress
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
DB = (("db.system.name", "postgresql"), ("db.namespace", "shop"))
KAFKA = (("messaging.system", "kafka"), ("messaging.destination.name", "orders"))


def span(service: str, name: str, kind: int, number: int, parent: int, start: int, end: int, **more: Any) -> MadeSpan:
    """Return a span of trace 1, unless told otherwise."""
    trace = more.pop("trace", 1)
    return MadeSpan(
        service, name, kind, trace, number, parent, START_NS + start * MS_NS, START_NS + end * MS_NS, **more
    )


class Run:
    """One source, one stub partition; offsets count up."""

    def __init__(self, config: WindowConfig = CONFIG) -> None:
        self.cutter = StubFold("otel.traces/0", 1, config)
        self.fold = EdgeFold("telemetry.stubs/0", ["otel.traces/0"], config)
        self.offset = 0

    def take(self, *spans: MadeSpan, at_s: float = 1, tenant: str = "acme", driven: bool = False) -> None:
        """Let spans arrive together."""
        columns = decode_spans(traces_payload(spans))
        self.cutter.step(tenant, columns, START_NS + round(at_s * SECOND_NS), self.offset, driven)
        for record in self.cutter.flush():
            self.fold.step(decode_stubs(record.value), self.offset)
            self.offset += 1

    def until(self, seconds: float) -> list[ServicePartial]:
        """Let the source report, and flush; what only takes back is left out."""
        self.fold.step_progress(Progress("otel.traces/0", START_NS + round(seconds * SECOND_NS)), self.offset)
        self.offset += 1
        return [partial for partial in self.fold.flush() if not partial.contents.is_empty]


def contents(*spans: MadeSpan) -> dict[str, PaneContents]:
    """Return what a single pane says of each node."""
    run = Run()
    run.take(*spans)
    return {partial.service: partial.contents for partial in run.until(21)}


def edge(found: dict[str, PaneContents], server: str) -> EdgeTally:
    """Return the only edge into a node."""
    (tally,) = found[server].edges.values()
    return tally


def with_edges(partials: list[ServicePartial]) -> list[ServicePartial]:
    """Leave out what tells only of traces that pass through."""
    return [partial for partial in partials if partial.contents.edges]


def ms(bins: dict[int, int]) -> list[int]:
    """Return the sketched durations in rounded milliseconds."""
    return sorted(round(value_of(b) / MS_NS) for b, count in bins.items() for _ in range(count))


def self_ms(found: dict[str, PaneContents], service: str, name: str, kind: int) -> list[int]:
    """Return the self times of an operation."""
    return ms(found[service].operations[name, kind].self_time)


def requests_of(found: dict[str, PaneContents], service: str, name: str) -> dict[int, tuple[int, int, list[int]]]:
    """Return requests, errors and rounded durations of an operation by kind, as the join changes them."""
    tallies = {kind: tally for (one, kind), tally in found[service].operations.items() if one == name}
    return {
        kind: (tally.requests, tally.errors, ms(tally.latency)) for kind, tally in tallies.items() if tally.requests
    }
