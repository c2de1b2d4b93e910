"""MicroRank: spectrum analysis of operations, weighted by PageRank over traces.

Yu et al., "MicroRank: End-to-End Latency Issue Localization with Extended Spectrum Analysis in Microservice
Environments", WWW 2021. A trace is abnormal when its root took longer than its operations make one expect (mean plus
1.5 standard deviations each); operations are weighed by a personalised PageRank in normal and in abnormal traces, and
ranked by the Ochiai coefficient of those weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.otlp.columns import SpanColumns

Floats = NDArray[np.float64]
SIGMAS = 1.5
DAMPING, CALL_WEIGHT, ROUNDS = 0.85, 0.01, 25


@dataclass(slots=True)
class _Traces:
    """A matrix of how often each trace went through each operation, and how long its root took (ns)."""

    passes: Floats
    root_ns: Floats


@dataclass(slots=True)
class MicroRank:
    """Collects spans around an onset (Unix ns); `ranking` names services, best suspect first."""

    onset_ns: int
    _spans: list[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = field(
        default_factory=list
    )
    _operations: dict[tuple[str, str], int] = field(default_factory=dict)
    _roots: list[NDArray[np.bool_]] = field(default_factory=list)

    def step(self, spans: SpanColumns, rows: NDArray[np.intp]) -> None:
        """Take these rows of the spans."""
        if not len(rows):
            return
        pairs, which = np.unique(
            spans.service[rows].astype(np.int64) << 32 | spans.operation[rows], return_inverse=True
        )
        ids = [self._operation(spans.names[pair >> 32], spans.names[pair & 0xFFFFFFFF]) for pair in pairs.tolist()]
        trace = spans.trace_hi[rows] ^ spans.trace_lo[rows]
        start_ns, duration_ns = spans.start_ns[rows], spans.end_ns[rows] - spans.start_ns[rows]
        self._spans.append((trace, np.array(ids)[which], start_ns, duration_ns))
        self._roots.append(spans.parent_id[rows] == 0)

    def _operation(self, service: str, name: str) -> int:
        return self._operations.setdefault((service, name), len(self._operations))

    def ranking(self) -> list[str]:
        """Return the services by their most suspicious operation; none when no trace is abnormal."""
        if not self._spans:
            return []
        trace, operation, start_ns, duration_ns = (np.concatenate(part) for part in zip(*self._spans, strict=True))
        is_root = np.concatenate(self._roots)
        before = start_ns < self.onset_ns
        if not before.any() or before.all():
            return []
        usual_ns = self._usual_ns(operation[before], duration_ns[before])
        normal = self._traces(trace[before], operation[before], duration_ns[before], is_root[before])
        present = self._traces(trace[~before], operation[~before], duration_ns[~before], is_root[~before])
        slow = present.root_ns > present.passes @ usual_ns
        if not slow.any():
            return []
        abnormal, healthy = present.passes[slow], np.vstack((normal.passes, present.passes[~slow]))
        return self._services(_ochiai(abnormal, healthy))

    def _usual_ns(self, operation: NDArray[np.int64], duration_ns: NDArray[np.int64]) -> Floats:
        size = len(self._operations)
        count = np.maximum(np.bincount(operation, minlength=size), 1)
        mean = np.bincount(operation, weights=duration_ns, minlength=size) / count
        square = np.bincount(operation, weights=duration_ns.astype(float) ** 2, minlength=size) / count
        return np.asarray(mean + SIGMAS * np.sqrt(np.maximum(square - mean**2, 0.0)))

    def _traces(
        self, trace: NDArray[np.uint64], operation: NDArray[np.int64], duration_ns: NDArray[np.int64],
        is_root: NDArray[np.bool_],
    ) -> _Traces:  # fmt: skip
        names, row = np.unique(trace, return_inverse=True)
        passes = np.zeros((len(names), len(self._operations)))
        np.add.at(passes, (row, operation), 1.0)
        root_ns = np.zeros(len(names))
        np.maximum.at(root_ns, row[is_root], duration_ns[is_root].astype(float))
        return _Traces(passes, root_ns)

    def _services(self, scores: Floats) -> list[str]:
        best: dict[str, float] = {}
        for (service, _), place in self._operations.items():
            best[service] = max(best.get(service, -1.0), float(scores[place]))
        return sorted(best, key=lambda service: (-best[service], service))


def _ochiai(abnormal: Floats, healthy: Floats) -> Floats:
    """Score operations: in many abnormal and few normal traces, each counted with its PageRank weight."""
    failing, passing = _weights(abnormal), _weights(healthy)
    hit = failing * (abnormal > 0).sum(axis=0)
    missed = failing * (abnormal == 0).sum(axis=0)
    innocent = passing * (healthy > 0).sum(axis=0)
    scale = np.sqrt((hit + missed) * (hit + innocent))
    return np.asarray(np.divide(hit, scale, out=np.zeros_like(hit), where=scale > 0))


def _weights(passes: Floats) -> Floats:
    """Return the PageRank of operations in the graph of traces and operations; short, rare traces weigh more."""
    if not len(passes):
        return np.zeros(passes.shape[1])
    used = passes > 0
    covered = np.maximum(used.sum(axis=1), 1)
    _, kind_of, kind_count = np.unique(used, axis=0, return_inverse=True, return_counts=True)
    personal = 1.0 / (covered * kind_count[kind_of.reshape(-1)])
    personal /= personal.sum()
    to_operation = used / covered[:, None]
    to_trace = used / np.maximum(used.sum(axis=0), 1)
    operations = np.full(passes.shape[1], 1.0 / passes.shape[1])
    for _ in range(ROUNDS):
        traces = DAMPING * to_trace @ operations + (1 - DAMPING) * personal
        operations = DAMPING * (to_operation.T @ traces + CALL_WEIGHT * operations)
        operations /= max(operations.sum(), 1e-12)
    return np.asarray(operations)
