"""The same windows as one would write them with bytewax: parse, count into dictionaries. A process of its own.

python tests/bench/bytewax_job.py BROKER TOPIC      # prints {"records": n, "spans": n, "seconds": s, "cpu_s": s}
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from confluent_kafka import OFFSET_BEGINNING
from naive import Windows, count_windows


def main(broker: str, topic: str) -> None:
    """Count everything that is in the topic."""
    windows: Windows = {}
    spans: list[int] = []
    moments: list[tuple[float, float]] = []

    def count(message: Any) -> int:
        moments.append(now())
        spans.append(count_windows([message.value], windows))
        moments.append(now())
        return spans[-1]

    flow = Dataflow("windows")
    source = KafkaSource([broker], [topic], tail=False, starting_offset=OFFSET_BEGINNING, batch_size=64)
    op.output("out", op.map("count", op.input("in", flow, source), count), TestingSink([]))
    run_main(flow)
    seconds, cpu_s = (end - begin for begin, end in zip(moments[0], moments[-1], strict=True))
    print(json.dumps({"records": len(spans), "spans": sum(spans), "seconds": seconds, "cpu_s": cpu_s}))


def now() -> tuple[float, float]:
    """Return the time, and the CPU time of the process."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    main(*sys.argv[1:])
