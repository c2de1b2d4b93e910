"""The same windows as one would write them with Quix Streams: parse, count into dictionaries. A process of its own.

python tests/bench/quixstreams_job.py BROKER TOPIC  # prints {"records": n, "spans": n, "seconds": s, "cpu_s": s}
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
import uuid

from naive import Windows, count_windows
from quixstreams import Application

SILENCE_S = 5.0
"""After so long without a message it has counted everything."""


def main(broker: str, topic: str) -> None:
    """Count everything that is in the topic."""
    windows: Windows = {}
    spans: list[int] = []
    moments: list[tuple[float, float]] = []

    def count(message: bytes) -> None:
        moments.append(now())
        spans.append(count_windows([message], windows))
        moments.append(now())

    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker, consumer_group=uuid.uuid4().hex, auto_offset_reset="earliest", state_dir=folder,
            auto_create_topics=False, loglevel=logging.WARNING,
        )  # fmt: skip
        app.dataframe(app.topic(topic, value_deserializer="bytes")).update(count)
        app.run(timeout=SILENCE_S)
    seconds, cpu_s = (end - begin for begin, end in zip(moments[0], moments[-1], strict=True))
    print(json.dumps({"records": len(spans), "spans": sum(spans), "seconds": seconds, "cpu_s": cpu_s}))


def now() -> tuple[float, float]:
    """Return the time, and the CPU time of the process."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main(*sys.argv[1:])
