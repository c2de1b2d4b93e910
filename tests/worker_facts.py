"""What a worker process in a test tells of itself."""

from __future__ import annotations

from prometheus_client import Counter

from schemas.topics import HEALTH, POINTS, RAW_TOPICS, ROLLUPS, STUBS
from topologies import metrics
from topologies.worker import Worker

INGEST = "ingest."
RAW_NAMES = frozenset(topic.name for topic in RAW_TOPICS)
INNER_NAMES = frozenset(topic.name for topic in (ROLLUPS, STUBS, POINTS, HEALTH))


def counted(counter: Counter, label: str) -> dict[str, int]:
    """Return a counter of this process by one of its labels."""
    found: dict[str, int] = {}
    for sample in (sample for metric in counter.collect() for sample in metric.samples):
        if sample.name.endswith("_total"):
            name = sample.labels[label]
            found[name] = found.get(name, 0) + int(sample.value)
    return found


def handled() -> int:
    """Return how many raw records this process has taken, those read again included."""
    return sum(count for stage, count in counted(metrics.RECORDS, "stage").items() if stage.startswith(INGEST))


def raw_lag(worker: Worker) -> int:
    """Return how many records of the raw topics this worker has not taken yet."""
    return sum(worker.ticker.unread(tp) or 0 for tp in worker.app.assigned() if tp.topic in RAW_NAMES)


def inner_lag(worker: Worker) -> int:
    """Return how many records that its stages write to one another this worker has not handled yet."""
    return sum(worker.app.lag(tp) or 0 for tp in worker.app.assigned() if tp.topic in INNER_NAMES)
