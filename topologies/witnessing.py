"""Play recordings into a pipeline and write down which incidents were opened and what they named."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from schemas.snapshots import RankingSnapshot
from schemas.topics import LOGS, METRICS, TRACES
from streams.hypotheses import rank
from streams.pipeline import Decided, DueRanking, LocalPipeline
from streams.scoring import Fault, Opened
from topologies.recordings import Labels, RecordedMessage

TENANT = "evaluated"
_TOPICS = {"traces": TRACES.name, "logs": LOGS.name, "metrics": METRICS.name}
_AFTER_NS = 300 * 1_000_000_000
"""Time goes on so long after the last record, so that what is open can end."""


class Witness:
    """Collects what the pipeline decides about incidents. Only the rankings that count for a fault are made."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._asked_s = sorted({fault.ranked_by_s for fault in faults})
        self._opened: dict[str, tuple[float, str]] = {}
        self._due: dict[str, dict[int, tuple[float, DueRanking]]] = {}
        """By incident and by the next instant that is asked about: the last ranking until then."""
        self._snapshots: dict[tuple[str, int], RankingSnapshot] = {}

    def see(self, decided: Decided) -> None:
        """Take what a pane brought."""
        at_s = decided.at_ns / 1e9
        for event in decided.events:
            if event.kind == "opened":
                self._opened[event.incident_id] = (event.decided_at_ns / 1e9, event.title)
        place = bisect_left(self._asked_s, at_s)
        if place < len(self._asked_s):
            for due in decided.rankings:
                self._due.setdefault(due.incident.incident_id, {})[place] = (at_s, due)

    def snapshot_by(self, incident_id: str, at_s: float) -> RankingSnapshot | None:
        """Return what the last ranking of an incident that was due by an instant is made from, if there was one."""
        due = [one for one in self._due.get(incident_id, {}).values() if one[0] <= at_s]
        return self._snapshot(max(due, key=lambda one: one[0])[1]) if due else None

    def _snapshot(self, due: DueRanking) -> RankingSnapshot:
        """Return what a ranking is made from; it is worth keeping, for it goes through half an hour of windows."""
        key = (due.incident.incident_id, due.as_of_ns)
        if key not in self._snapshots:
            self._snapshots[key] = due.snapshot()
        return self._snapshots[key]

    def incidents(self) -> list[Opened]:
        """Return every incident with what it named when."""
        return [
            Opened(incident_id, at_s, title, tuple(self._made(incident_id)))
            for incident_id, (at_s, title) in self._opened.items()
        ]

    def _made(self, incident_id: str) -> Iterator[tuple[float, tuple[str, ...]]]:
        for at_s, due in self._due.get(incident_id, {}).values():
            named = rank(self._snapshot(due)).hypotheses
            yield at_s, tuple(dict.fromkeys(hypothesis.service for hypothesis in named))


def play(pipeline: LocalPipeline, messages: Iterable[RecordedMessage], *see: Callable[[Decided], None]) -> None:
    """Feed messages, which come in the order of their arrival, and show to each witness what every pane brings."""
    for decided in _decided(pipeline, messages):
        for witness in see:
            witness(decided)


def _decided(pipeline: LocalPipeline, messages: Iterable[RecordedMessage]) -> Iterator[Decided]:
    last_ns = 0
    for message in messages:
        last_ns = message.arrival_ns
        yield from pipeline.feed(_TOPICS[message.signal], message.value, message.arrival_ns)
    yield from pipeline.advance(last_ns + _AFTER_NS)


def faults_of(labels: Labels) -> list[Fault]:
    """Return what was wrong in a recording."""
    return [
        Fault(fault.id, fault.start_unix, fault.service, fault.fault, fault.start_uncertainty_s, fault.duration_s)
        for fault in labels.faults
    ]
