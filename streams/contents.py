"""What is counted of one pane of one service: of its operations, callers, instances, logs and traces.

Merging is associative and commutative, so it does not matter how the telemetry was spread over partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from streams.latency import Bins, add_into
from streams.people import PeopleSample
from streams.signatures.marks import Marks, told_twice

Key = TypeVar("Key")
Tally = TypeVar("Tally")


class SpanKind(IntEnum):
    """OTLP's span kinds (opentelemetry-proto, trace.proto)."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


ENTRY_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)
"""The kinds that count as requests of a service."""

SEVERITIES = ("unspecified", "trace", "debug", "info", "warn", "error", "fatal")
"""Names of the severity ranges of OTLP logs, by ``(severity_number + 3) // 4``."""

OperationKey = tuple[str, int]
"""(operation, span kind)"""

EdgeKey = tuple[str, str, str]
"""(client node, its `NodeKind`, `ConnectionType`); the server is the partial's own service."""

SignatureKey = tuple[str, str]
"""(``log`` or ``exception``, shape); of those beyond the cap the shape is `OVERFLOW_SHAPE`."""

OVERFLOW_SHAPE = "__overflow__"
"""Takes the signatures beyond the cap of a service in one pane, by kind."""

OVERFLOW_INSTANCE = "__overflow__"
"""Takes the instances beyond the cap of a service in one pane."""

OVERFLOW_VERSION = "__overflow__"
"""Takes the versions beyond the cap of a service in one pane."""

Sample = tuple[int, bytes]
"""(duration_ns, trace id of 16 bytes)"""


@dataclass(slots=True)
class OperationTally:
    """Counts and sketches of one operation."""

    requests: int = 0
    errors: int = 0
    latency: Bins = field(default_factory=dict)
    self_time: Bins = field(default_factory=dict)

    def add(self, other: OperationTally) -> None:
        """Add another source's counts."""
        self.count(other)
        add_into(self.latency, other.latency)
        add_into(self.self_time, other.self_time)

    def count(self, other: OperationTally) -> None:
        """Add another's counts without its sketches."""
        self.requests += other.requests
        self.errors += other.errors


@dataclass(slots=True)
class EdgeTally:
    """Counts and sketches of one incoming edge. ``paired + virtual + expired <= requests``."""

    requests: int = 0
    errors: int = 0
    paired: int = 0
    virtual: int = 0
    expired: int = 0
    client: Bins = field(default_factory=dict)
    server: Bins = field(default_factory=dict)
    gap: Bins = field(default_factory=dict)

    def add(self, other: EdgeTally) -> None:
        """Add another source's counts."""
        self.count(other)
        add_into(self.client, other.client)
        add_into(self.server, other.server)
        add_into(self.gap, other.gap)

    def count(self, other: EdgeTally) -> None:
        """Add another's counts without its sketches."""
        self.requests += other.requests
        self.errors += other.errors
        self.paired += other.paired
        self.virtual += other.virtual
        self.expired += other.expired


@dataclass(slots=True)
class PassageTally:
    """Traces that came in at one service and passed through a node (`streams.passages`).

    ``origins`` are those of the failing ones that failed first at this node; ``durations`` are those of the root spans,
    in coarse bins.
    """

    traces: int = 0
    failing: int = 0
    origins: int = 0
    durations: Bins = field(default_factory=dict)
    people: PeopleSample = field(default_factory=PeopleSample)
    """Of whom the traces were for."""

    def add(self, other: PassageTally) -> None:
        """Add another source's counts."""
        self.traces += other.traces
        self.failing += other.failing
        self.origins += other.origins
        add_into(self.durations, other.durations)
        self.people = self.people.plus(other.people)


@dataclass(slots=True)
class SignatureTally:
    """How often a signature was seen, its highest severity (place in `SEVERITIES`), and its first line as a sample.

    The sample is (time_ns, text, trace id or nothing); of lines of the same time the smaller text. An exception may be
    in a log record and in its span: ``count`` has both, `lines` has it once.
    """

    count: int = 0
    severity: int = 0
    sample: tuple[int, str, bytes] | None = None
    in_logs: Marks = field(default_factory=Marks)
    in_spans: Marks = field(default_factory=Marks)

    @property
    def lines(self) -> int:
        """How often it was seen, without what was told twice."""
        return self.count - told_twice(self.in_logs, self.in_spans)

    def add(self, other: SignatureTally) -> None:
        """Add another source's counts."""
        self.count += other.count
        self.in_logs.add(other.in_logs)
        self.in_spans.add(other.in_spans)
        self.severity = max(self.severity, other.severity)
        held = [sample for sample in (self.sample, other.sample) if sample is not None]
        self.sample = min(held, default=None)


@dataclass(slots=True)
class PartTally:
    """Requests of one instance, or of one version, and their latency in bins four times as wide as elsewhere."""

    requests: int = 0
    errors: int = 0
    latency: Bins = field(default_factory=dict)

    def add(self, other: PartTally) -> None:
        """Add another source's counts."""
        self.requests += other.requests
        self.errors += other.errors
        add_into(self.latency, other.latency)


@dataclass(slots=True)
class Samples:
    """Exemplars: the 2 slowest, 2 failing (smallest trace ids) and 1 normal entry span, ties by trace id."""

    slow: list[Sample] = field(default_factory=list)
    failing: list[Sample] = field(default_factory=list)
    normal: list[Sample] = field(default_factory=list)

    def add(self, other: Samples) -> None:
        """Keep the best of both."""
        if other.slow:
            self.slow = slowest(self.slow + other.slow)
        if other.failing:
            self.failing = first_by_id(self.failing + other.failing, 2)
        if other.normal:
            self.normal = first_by_id(self.normal + other.normal, 1)


def slowest(samples: list[Sample], keep: int = 2) -> list[Sample]:
    """Return the slowest samples of different traces; ties go to the smaller trace id."""
    chosen: dict[bytes, int] = {}
    for duration_ns, trace_id in sorted(samples, key=lambda sample: (-sample[0], sample[1])):
        if trace_id not in chosen:
            chosen[trace_id] = duration_ns
            if len(chosen) == keep:
                break
    return [(duration_ns, trace_id) for trace_id, duration_ns in chosen.items()]


def first_by_id(samples: list[Sample], keep: int) -> list[Sample]:
    """Return samples with the smallest trace ids (a hash by nature, so a fair draw), the slowest of each trace."""
    chosen: dict[bytes, int] = {}
    for duration_ns, trace_id in samples:
        chosen[trace_id] = max(duration_ns, chosen.get(trace_id, 0))
    return [(chosen[trace_id], trace_id) for trace_id in sorted(chosen)[:keep]]


@dataclass(slots=True)
class PaneContents:
    """Everything a pane knows, without whose it is."""

    operations: dict[OperationKey, OperationTally] = field(default_factory=dict)
    edges: dict[EdgeKey, EdgeTally] = field(default_factory=dict)
    log_severities: dict[str, int] = field(default_factory=dict)
    samples: Samples = field(default_factory=Samples)
    late_items: int = 0
    passages: dict[str, PassageTally] = field(default_factory=dict)
    """By the service at which the traces came in."""
    signatures: dict[SignatureKey, SignatureTally] = field(default_factory=dict)
    instances: dict[str, PartTally] = field(default_factory=dict)
    """Entry spans by the instance that says it served them; of those beyond the cap by `OVERFLOW_INSTANCE`."""
    versions: dict[str, PartTally] = field(default_factory=dict)
    """Entry spans by the version of the service that served them; of those beyond the cap by `OVERFLOW_VERSION`."""
    tier: int = 0
    """The highest that any span's resource claims: place in `streams.otlp.resources.TIERS`."""

    def add(self, other: PaneContents) -> None:
        """Merge another source's contents into this one; ``other`` is left alone."""
        for operation, tally in other.operations.items():
            _held(self.operations, operation, OperationTally).add(tally)
        for edge, edge_tally in other.edges.items():
            _held(self.edges, edge, EdgeTally).add(edge_tally)
        self.samples.add(other.samples)
        self.late_items += other.late_items
        self.tier = max(self.tier, other.tier)
        for entry, passage in other.passages.items():
            _held(self.passages, entry, PassageTally).add(passage)
        self.add_logs(other)
        for instance, requests in other.instances.items():
            _held(self.instances, instance, PartTally).add(requests)
        for version, requests in other.versions.items():
            _held(self.versions, version, PartTally).add(requests)

    def add_logs(self, other: PaneContents) -> None:
        """Merge another source's counts by severity and its signatures alone."""
        for severity, count in other.log_severities.items():
            self.log_severities[severity] = self.log_severities.get(severity, 0) + count
        for signature, seen in other.signatures.items():
            _held(self.signatures, signature, SignatureTally).add(seen)

    def copy(self) -> PaneContents:
        """Return contents that share nothing with these."""
        twin = PaneContents()
        twin.add(self)
        return twin

    @property
    def is_empty(self) -> bool:
        """Whether nothing was seen."""
        parts = (self.operations, self.edges, self.log_severities, self.late_items, self.passages, self.signatures)
        return not any(parts)


def _held(tallies: dict[Key, Tally], key: Key, fresh: Callable[[], Tally]) -> Tally:
    """Return the tally of a key, a fresh one where there is none (which is made only then)."""
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = fresh()
    return tally


def merge_contents(parts: Iterable[PaneContents]) -> PaneContents:
    """Merge contents of several sources or panes."""
    total = PaneContents()
    for part in parts:
        total.add(part)
    return total


def count_contents(parts: Iterable[PaneContents]) -> PaneContents:
    """Merge contents as `merge_contents`, but leave the sketches, the samples and the passages out."""
    total = PaneContents()
    for part in parts:
        for operation, tally in part.operations.items():
            _held(total.operations, operation, OperationTally).count(tally)
        for key, edge in part.edges.items():
            _held(total.edges, key, EdgeTally).count(edge)
        total.add_logs(part)
    return total
