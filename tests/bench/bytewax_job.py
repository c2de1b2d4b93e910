"""The same windows as one would write them with bytewax: parse, count into dictionaries. A process of its own.

python tests/bench/bytewax_job.py BROKER TOPIC      # prints {"records": n, "spans": n, "seconds": s, "cpu_s": s}
"""

from __future__ import annotations

import json
import resource
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
    moments: list[float] = []

    def count(message: Any) -> int:
        moments.append(time.perf_counter())
        spans.append(count_windows([message.value], windows))
        moments.append(time.perf_counter())
        return spans[-1]

    flow = Dataflow("windows")
    source = KafkaSource([broker], [topic], tail=False, starting_offset=OFFSET_BEGINNING, batch_size=64)
    op.output("out", op.map("count", op.input("in", flow, source), count), TestingSink([]))
    run_main(flow)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {"records": len(spans), "spans": sum(spans), "seconds": moments[-1] - moments[0]}
    print(json.dumps(found | {"cpu_s": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main(*sys.argv[1:])
