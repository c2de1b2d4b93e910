"""Who called whom, told from all spans at once with dictionaries: explains where two ways of counting must differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from figures import Edge
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

OUT, ENTRY = (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER), (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)


@dataclass
class Pairing:
    """Facts of a recording that need no clock."""

    spans: int = 0
    calls: Counter[Edge] = field(default_factory=Counter)
    """Client spans with at least one server span below them, by edge of the first: what a pairing store completes."""
    more_servers: Counter[Edge] = field(default_factory=Counter)
    """Further server spans below the same client span (a retry inside a proxy, a redirect): requests of ours."""
    without_client: Counter[Edge] = field(default_factory=Counter)
    """Server spans right below another service's span that is no client span: requests of ours only."""


def pairing_of(payloads: Iterable[bytes]) -> Pairing:
    """Read trace requests and put their spans together."""
    services: dict[tuple[bytes, bytes], tuple[str, int]] = {}
    entries: list[tuple[str, Span]] = []
    facts = Pairing()
    for payload in payloads:
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
            named = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                facts.spans += 1
                services[span.trace_id, span.span_id] = (named[-1], span.kind)
                if span.kind in ENTRY:
                    entries.append((named[-1], span))
    seen: set[tuple[bytes, bytes]] = set()
    for service, span in entries:
        caller = span.trace_id, span.parent_span_id
        client, kind = services.get(caller, ("", 0))
        if kind in OUT:
            (facts.more_servers if caller in seen else facts.calls)[client, service] += 1
            seen.add(caller)
        elif client and client != service:
            facts.without_client[client, service] += 1
    return facts
