"""Decode a logs request into columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.errors import RejectReason
from streams.otlp.attributes import Names
from streams.otlp.columns import INT64_MAX, LogColumns, Reject, Signal
from streams.otlp.lines import LineReader
from streams.otlp.resources import check_caps, name_resource
from streams.otlp.wrong_signal import parse_as, refuse_other_signals

_BY_TEXT = {
    b"TRACE": 1, b"DEBUG": 2, b"INFO": 3, b"INFORMATION": 3, b"NOTICE": 3, b"WARN": 4, b"WARNING": 4,
    b"ERROR": 5, b"ERR": 5, b"SEVERE": 5, b"FATAL": 6, b"CRITICAL": 6, b"ALERT": 6, b"EMERGENCY": 6, b"PANIC": 6,
}  # fmt: skip


WARN = 4
"""Place of ``warn`` in `streams.contents.SEVERITIES`."""


def decode_logs(payload: bytes, signed_from: int = WARN) -> LogColumns:
    """Decode an ``ExportLogsServiceRequest``; raises only `BadPayload`, and only for the whole message.

    Signatures are made of the records of at least the severity ``signed_from``.
    """
    request = parse_as(Signal.LOGS, payload)
    names, rejects = Names(), list[Reject]()
    counts = [sum(len(scope.records) for scope in resource.scopes) for resource in request.resources]
    check_caps(counts)
    services, times, severities = list[int](), list[int](), list[int]()
    reader = LineReader()
    item = 0
    for resource, count in zip(request.resources, counts, strict=True):
        service = name_resource(resource.resource, names).service if count else -1
        for scope in resource.scopes:
            for record in scope.records:
                if len(record.trace_id) in (0, 16):
                    services.append(service)
                    times.append(record.time_ns or record.observed_ns)
                    severity = _severity(record.severity_number, record.severity_text)
                    severities.append(severity)
                    if severity >= signed_from and not reader.is_full():
                        ids = (record.trace_id, record.span_id)
                        reader.add_record(len(times) - 1, record.body, record.attributes, *ids)
                else:
                    rejects.append(Reject(item, RejectReason.BAD_ID, "trace id is neither empty nor 16 bytes"))
                item += 1
    if item and not any(times):
        refuse_other_signals(Signal.LOGS, payload)
    service_of = np.array(services, dtype=np.int32)
    return LogColumns(
        service=service_of,
        time_ns=_times(times),
        severity=np.array(severities, dtype=np.uint8),
        names=names.names,
        signed=reader.rows(),
        rejects=rejects,
        truncated=names.truncated(service_of),
    )


def _severity(number: int, text: bytes) -> int:
    """Return the index into `SEVERITIES`: by number, else by the well-known texts."""
    if 1 <= number <= 24:
        return (number + 3) // 4
    return _BY_TEXT.get(text.upper(), 0) if text else 0


def _times(raws: list[int]) -> NDArray[np.int64]:
    return np.minimum(np.array(raws, dtype=np.uint64), np.uint64(INT64_MAX)).astype(np.int64)
