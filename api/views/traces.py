"""A trace in the order in which it is drawn, whatever its spans say of their parents.

The tree is flat: spans in drawing order, each with its depth, so that no trace is too deep for a JSON parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, Field

from schemas.queries import LogLine, Trace, TraceSpan


class TreeSpan(TraceSpan):
    """A span with its place in the tree."""

    depth: int = Field(description="0 for a root.")
    parent_missing: bool = Field(description="It names a parent that is not in this answer; it is drawn as a root.")
    parent_cycle: bool = Field(description="Its parents lead back to itself; the cycle is cut here.")


class TraceView(BaseModel):
    """A trace, its spans in drawing order: each before its children, siblings by start."""

    trace_id: str
    start_ns: int
    end_ns: int
    duration_ns: int
    services: list[str] = Field(description="By the number of their spans, most first.")
    errors: int = Field(description="Spans with status error.")
    roots: int = Field(description="1 in a whole trace.")
    truncated: bool = Field(description="There are more spans than one answer holds.")
    spans: list[TreeSpan]

    @classmethod
    def of(cls, trace: Trace) -> TraceView:
        """Return the view of a stored trace of at least one span."""
        spans = in_drawing_order(trace.spans)
        start_ns, end_ns = min(span.start_ns for span in spans), max(span.end_ns for span in spans)
        names = [span.service for span in spans]
        return cls(
            trace_id=trace.trace_id,
            start_ns=start_ns,
            end_ns=end_ns,
            duration_ns=max(0, end_ns - start_ns),
            services=sorted(set(names), key=lambda name: (-names.count(name), name)),
            errors=sum(span.status == "error" for span in spans),
            roots=sum(span.depth == 0 for span in spans),
            truncated=trace.truncated,
            spans=spans,
        )


class TraceLogs(BaseModel):
    """The log records that name a trace, oldest first."""

    trace_id: str
    items: list[LogLine]
    truncated: bool


def in_drawing_order(spans: Sequence[TraceSpan]) -> list[TreeSpan]:
    """Return every span exactly once, each after its parent, siblings by start.

    A span whose parent is not there is a root. A cycle of parents is cut at its earliest span.
    """
    by_start = sorted(range(len(spans)), key=lambda index: (spans[index].start_ns, spans[index].span_id))
    parents = _parents(spans, by_start)
    children: dict[int | None, list[int]] = {}
    for index in by_start:
        children.setdefault(parents[index], []).append(index)
    drawn: list[TreeSpan] = []
    seen: set[int] = set()
    # Whatever no root leads to belongs to a cycle, or hangs below one.
    for root in [*children.get(None, []), *by_start]:
        for index, depth in _below(root, children, seen):
            drawn.append(_placed(spans[index], depth, parents[index]))
    return drawn


def _parents(spans: Sequence[TraceSpan], by_start: Sequence[int]) -> list[int | None]:
    """Return each span's parent, None for a root. Of spans that share an id the latest is the parent.

    (Zipkin clients give the server span its caller's id: the children are the server's.)
    """
    by_id = {spans[index].span_id: index for index in by_start}
    return [None if span.parent_span_id is None else by_id.get(span.parent_span_id) for span in spans]


def _below(root: int, children: dict[int | None, list[int]], seen: set[int]) -> Iterator[tuple[int, int]]:
    """Yield (span, depth) of a root and all below it that were not seen before."""
    waiting = [(root, 0)]
    while waiting:
        index, depth = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        yield index, depth
        waiting.extend((child, depth + 1) for child in reversed(children.get(index, [])))


def _placed(span: TraceSpan, depth: int, parent: int | None) -> TreeSpan:
    return TreeSpan(
        **span.model_dump(),
        depth=depth,
        parent_missing=span.parent_span_id is not None and parent is None,
        parent_cycle=depth == 0 and parent is not None,
    )
