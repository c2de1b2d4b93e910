"""Run a batch decoder beside the reference, and say where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import BadPayload
from streams.otlp import SpanColumns, decode_spans
from streams.otlp.columns import SPAN_DTYPES
from streams.otlp.walker import SpanDecoder

NAMED = ("service", "operation", "instance", "version", "peer")


def decode_one(decoder: Any, payload: bytes) -> Any:
    """Decode a single message as the reference would: its columns with its rejects, or the exception."""
    pieces = list(decoder.decode([payload]))
    for piece in pieces:
        for _, refusal in piece.refused:
            raise refusal
    columns = next((piece.columns for piece in pieces if piece.columns is not None), None)
    rejects = [reject for piece in pieces for _, reject in piece.rejects]
    if columns is None:
        return None, rejects
    columns.rejects = rejects
    return columns, rejects


def walk_spans(payload: bytes) -> SpanColumns:
    """Decode one message with a walker of its own; raises as `decode_spans` does."""
    columns, rejects = decode_one(SpanDecoder(), payload)
    if columns is None:
        columns = decode_spans(b"")
        columns.rejects = rejects
    return columns


def told_of_spans(columns: SpanColumns, begin: int = 0, end: int | None = None) -> list[tuple[Any, ...]]:
    """Return everything about some spans, names as text, the exceptions of each last."""
    rows: list[Any] = [_exceptions(columns)[begin:end]]
    for name in SPAN_DTYPES:
        values = getattr(columns, name)[begin:end].tolist()
        rows.insert(-1, [columns.names[v] if v >= 0 else None for v in values] if name in NAMED else values)
    return list(zip(*rows, strict=True))


def _exceptions(columns: SpanColumns) -> list[list[tuple[Any, ...]]]:
    """Return the exceptions of each span; of one that was not read nothing but that."""
    signed, found = columns.signed, [list[tuple[Any, ...]]() for _ in range(len(columns))]
    told = zip(signed.row.tolist(), signed.line.tolist(), signed.mark.tolist(), signed.trace_ids, strict=True)
    for row, line, mark, trace_id in told:
        found[row].append((signed.lines[line], mark, trace_id))
    for row in signed.unread.tolist():
        found[row].append(())
    return found


def outcomes_of_batch(decoder: SpanDecoder, payloads: Sequence[bytes]) -> list[Any]:
    """Return for each message what came of it in a batch: (spans, rejects), or the reason it was refused."""
    found: list[Any] = [([], []) for _ in payloads]
    for piece in decoder.decode(payloads):
        row = 0
        for number, size in zip(piece.messages, piece.sizes, strict=True):
            assert piece.columns is not None
            found[number][0].extend(told_of_spans(piece.columns, row, row + size))
            row += size
        for number, reject in piece.rejects:
            found[number][1].append((reject.item, reject.reason, reject.detail))
        for number, refusal in piece.refused:
            found[number] = str(refusal)
    return [outcome if isinstance(outcome, str) else (outcome[0], sorted(outcome[1])) for outcome in found]


def outcome_alone(payload: bytes, decode: Callable[[bytes], SpanColumns] = decode_spans) -> Any:
    """Return the same of one message, from the reference."""
    try:
        columns = decode(payload)
    except BadPayload as refusal:
        return str(refusal)
    rejects = sorted((reject.item, reject.reason, reject.detail) for reject in columns.rejects)
    return told_of_spans(columns), rejects
