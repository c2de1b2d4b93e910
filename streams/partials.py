"""What one source partition knows of one pane of one service: the record of ``telemetry.rollups``.

A partial is cumulative. Its newer version replaces the older; nothing is ever added to something stored.
A pane of a service is the merge of the latest partial of each source (`streams.contents`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from schemas.errors import BadPayload, RejectReason
from schemas.health import ConnectionType, NodeKind
from streams.contents import (
    EdgeTally,
    OperationTally,
    PaneContents,
    PartTally,
    PassageTally,
    Samples,
    SignatureTally,
)
from streams.people import PeopleSample
from streams.signatures.marks import Marks

FORMAT = 1


@dataclass(slots=True)
class ServicePartial:
    """The contents of one pane of one service or virtual node as one source partition knows them.

    ``first_offset`` and ``last_offset`` are offsets of the source: a receiver takes a newer partial iff its
    last offset is larger and its first is not (one rebuilt from too late an offset would be incomplete).
    """

    tenant: str
    service: str
    node_kind: NodeKind
    pane_start_ns: int
    source: str
    first_offset: int
    last_offset: int
    contents: PaneContents
    driven: bool = False

    def replaces(self, older: ServicePartial) -> bool:
        """Tell whether this version takes the place of ``older``."""
        return self.last_offset > older.last_offset and self.first_offset <= older.first_offset

    def encode(self) -> bytes:
        """Return the record's value (msgpack)."""
        return bytes(
            msgpack.packb(
                [
                    FORMAT, self.tenant, self.service, self.node_kind.value, self.pane_start_ns, self.source,
                    self.first_offset, self.last_offset, self.driven, _pack(self.contents),
                ]
            )
        )  # fmt: skip

    @classmethod
    def decode(cls, value: bytes) -> ServicePartial:
        """Read a record's value; raises `BadPayload` for anything else."""
        try:
            _, tenant, service, node_kind, pane_start_ns, source, first, last, driven, contents = msgpack.unpackb(
                value, strict_map_key=False
            )
            return cls(
                tenant, service, NodeKind(node_kind), int(pane_start_ns), source, int(first), int(last),
                _unpack(contents), bool(driven),
            )  # fmt: skip
        except Exception as error:
            raise BadPayload(RejectReason.DECODE, f"not a partial: {type(error).__name__}") from None


def _pack(contents: PaneContents) -> list[object]:
    return [
        [[*key, t.requests, t.errors, t.latency, t.self_time] for key, t in contents.operations.items()],
        [
            [*key, e.requests, e.errors, e.paired, e.virtual, e.expired, e.client, e.server, e.gap]
            for key, e in contents.edges.items()
        ],
        contents.log_severities,
        [contents.samples.slow, contents.samples.failing, contents.samples.normal],
        contents.late_items,
        [
            [entry, p.traces, p.failing, p.origins, p.durations, *_pack_people(p)]
            for entry, p in contents.passages.items()
        ],
        [[*key, s.count, s.severity, s.sample, *_pack_marks(s)] for key, s in contents.signatures.items()],
        *(
            [[name, p.requests, p.errors, p.latency] for name, p in parts.items()]
            for parts in (contents.instances, contents.versions)
        ),
        contents.tier,
    ]


def _pack_people(tally: PassageTally) -> list[bytes]:
    """Return the sample of people, nothing where spans name nobody."""
    return [tally.people.encode()] if tally.people else []


def _pack_marks(tally: SignatureTally) -> list[object]:
    """Return the marks of a signature, nothing for the many that have none."""
    both = (tally.in_logs, tally.in_spans)
    return [[one.count, one.least] for one in both] if any(one.count for one in both) else []


_PARTS = ("instances", "versions")
"""What older workers do not tell, in the order in which it was added; last the tier."""


def _unpack_passage(packed: list[Any]) -> PassageTally:
    traces, failing, origins, durations, *people = packed
    sample = PeopleSample.decode(people[0]) if people else PeopleSample()
    return PassageTally(traces, failing, origins, durations, sample)


def _unpack_signature(packed: list[Any]) -> SignatureTally:
    count, severity, sample, *marks = packed
    return SignatureTally(count, severity, sample and tuple(sample), *(Marks(*one) for one in marks))


def _unpack(packed: Any) -> PaneContents:
    operations, edges, log_severities, samples, late_items, passages, signatures, *later = packed
    slow, failing, normal = ([(int(duration_ns), bytes(trace_id)) for duration_ns, trace_id in s] for s in samples)
    return PaneContents(
        operations={(str(o[0]), int(o[1])): OperationTally(*o[2:]) for o in operations},
        edges={(str(e[0]), NodeKind(e[1]).value, ConnectionType(e[2]).value): EdgeTally(*e[3:]) for e in edges},
        log_severities={str(severity): int(count) for severity, count in log_severities.items()},
        samples=Samples(slow, failing, normal),
        late_items=int(late_items),
        passages={str(p[0]): _unpack_passage(p[1:]) for p in passages},
        signatures={(str(s[0]), str(s[1])): _unpack_signature(s[2:]) for s in signatures},
        tier=int(later[2]) if len(later) > len(_PARTS) else 0,
        **{name: {str(p[0]): PartTally(*p[1:]) for p in parts} for name, parts in zip(_PARTS, later, strict=False)},
    )
