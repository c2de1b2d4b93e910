"""Line 1: decoding and windows on one core, against the full schema with dictionaries, and against the slim schema.

CPU seconds of one thread, contenders in turn, medians of the ratios of each round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from load import TraceLoad
from naive import count_windows
from rows import Row, alternate, at_least, figure, main, median_ratio, quick

from streams.batch import Messages
from streams.edges import EdgeFold
from streams.otlp import decode_spans
from streams.otlp.walker import SpanDecoder, warm_up
from streams.panes import PaneFold
from streams.progress import Progress, SourceClock
from streams.stubs import StubFold, decode_stubs
from streams.windows import WindowConfig

SOURCE = "otel.traces/0"
CONFIG = WindowConfig()
SPANS = quick(100_000, 20_000)
BATCH = 64
"""Messages that ingest takes at once when it is busy."""


class Folds:
    """Everything of one source that is measured here."""

    def __init__(self) -> None:
        self.panes, self.clock = PaneFold(SOURCE, CONFIG), SourceClock(SOURCE)
        self.stubs, self.edges = StubFold(SOURCE, 1, CONFIG), EdgeFold("telemetry.stubs/0", [SOURCE], CONFIG)

    def end(self, last_ns: int, with_edges: bool) -> None:
        """Publish what was folded."""
        self.panes.flush()
        if with_edges:
            for record in self.stubs.flush():
                self.edges.step(decode_stubs(record.value), 1)
            self.edges.step_progress(Progress(SOURCE, last_ns + 60 * 10**9), 2)
            self.edges.flush()


def slim(load: TraceLoad, payloads: list[bytes], with_edges: bool) -> None:
    """Decode and fold message by message with the slim schema."""
    folds = Folds()
    for number, payload in enumerate(payloads):
        columns, arrival_ns = decode_spans(payload), load.arrival_ns(number)
        folds.panes.step_spans("acme", columns, arrival_ns, number)
        if with_edges:
            folds.stubs.step("acme", columns, arrival_ns, number)
        folds.clock.observe(arrival_ns)
    folds.end(load.arrival_ns(len(payloads)), with_edges)


def walked(decoder: SpanDecoder, load: TraceLoad, payloads: list[bytes], with_edges: bool) -> None:
    """Decode and fold batch by batch with the compiled decoder."""
    folds = Folds()
    for first in range(0, len(payloads), BATCH):
        for piece in decoder.decode(payloads[first : first + BATCH]):
            if piece.columns is None:
                continue
            offsets = [first + number for number in piece.messages]
            messages = Messages(piece.sizes, [load.arrival_ns(offset) for offset in offsets], offsets)
            folds.panes.take_spans("acme", piece.columns, messages)
            if with_edges:
                folds.stubs.take("acme", piece.columns, messages)
    folds.clock.observe(load.arrival_ns(len(payloads)))
    folds.end(load.arrival_ns(len(payloads)), with_edges)


def rows() -> Iterator[Row]:
    """Yield the findings."""
    warm_up()
    decoder = SpanDecoder()
    for spans in quick((500, 5, 8_000), (500,)):
        load = TraceLoad(spans, templates=max(2, min(20, 40_000 // spans)))
        payloads = load.messages(max(2, (SPANS if spans == 500 else SPANS // 4) // spans))
        total = spans * len(payloads)
        taken = alternate(contenders(decoder, load, payloads), rounds=quick(5, 3))
        for name, seconds in taken.items():
            yield figure(
                f"1. {name}, {spans} spans a message, a CPU second", total / statistics.median(seconds), "spans"
            )
        if spans == 500:
            ratio = median_ratio(taken["full schema and dictionaries"], taken["walker"])
            yield at_least("1. windows: walker against full schema and dictionaries", ratio, "x", 5)
            ratio = median_ratio(taken["slim schema, edges, self time"], taken["walker, edges, self time"])
            yield at_least("1. windows, edges, self time: walker against slim schema", ratio, "x", 2)


def contenders(decoder: SpanDecoder, load: TraceLoad, payloads: list[bytes]) -> dict[str, Callable[[], object]]:
    """Return what is measured."""
    return {
        "full schema and dictionaries": lambda: count_windows(payloads, {}),
        "slim schema": lambda: slim(load, payloads, False),
        "walker": lambda: walked(decoder, load, payloads, False),
        "slim schema, edges, self time": lambda: slim(load, payloads, True),
        "walker, edges, self time": lambda: walked(decoder, load, payloads, True),
        "walker, decoding alone": lambda: list(decoder.decode(payloads)),
    }


if __name__ == "__main__":
    main(rows)
