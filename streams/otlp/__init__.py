"""OTLP in, columns out: unpack a payload, check every item, keep what the windows need.

``open_payload`` turns what a producer sent (protobuf or JSON, perhaps compressed) into protobuf bytes;
``decode_spans``, ``decode_logs`` and ``decode_metrics`` turn those into numpy columns. They raise `BadPayload`
for a message that is unusable as a whole and nothing else; a bad item is reported and its neighbours stay.
"""

from streams.otlp.columns import LogColumns, MetricCounts, PeerKind, Reject, Signal, SpanColumns, SpanFlag
from streams.otlp.logs import decode_logs
from streams.otlp.metrics import decode_metrics
from streams.otlp.payload import open_payload
from streams.otlp.spans import decode_spans

__all__ = [
    "LogColumns",
    "MetricCounts",
    "PeerKind",
    "Reject",
    "Signal",
    "SpanColumns",
    "SpanFlag",
    "decode_logs",
    "decode_metrics",
    "decode_spans",
    "open_payload",
]
