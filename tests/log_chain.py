"""The folds from raw records to health over logs in memory, with commits and kills where a test wants them.

It does what the topologies do, in the same order: outputs are on the log before a floor is committed, progress
follows the data it speaks of, and a killed worker starts from its committed floors with empty memory.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from made_spans import RawRecord, traces_payload

from schemas.health import ServiceHealth
from streams.edges import EdgeFold
from streams.health import HealthFold, KnownNode
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.progress import Progress, SourceClock
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

TENANT = "acme"


@dataclass
class Checkpoint:
    """What is committed of one partition."""

    floor: int = 0
    closed: Progress | None = None
    known: list[KnownNode] = field(default_factory=list)


class Chain:
    """Logs, commits and the store: all that survives a kill. ``partitions`` is the same for every topic."""

    def __init__(self, records: list[RawRecord], partitions: int, config: WindowConfig) -> None:
        self.partitions = partitions
        self.config = config
        self.raw: list[list[RawRecord]] = [[] for _ in range(partitions)]
        self.stubs: list[list[bytes | Progress]] = [[] for _ in range(partitions)]
        self.rollups: list[list[ServicePartial | Progress]] = [[] for _ in range(partitions)]
        self.committed: dict[tuple[str, int], Checkpoint] = defaultdict(Checkpoint)
        self.store: dict[tuple[str, int], ServiceHealth] = {}
        for record in records:
            self.raw[record.partition].append(record)
        self.end_ns = max(record.at_ns for record in records)
        end_s = self.end_ns // SECOND_NS
        for log in self.raw:  # ticks, so that every source tells the time to the end
            last_s = log[-1].at_ns // SECOND_NS if log else end_s
            log += [RawRecord(0, s * SECOND_NS, ()) for s in range(last_s + 10, end_s + 250, 10)]
        self.worker = Worker(self)

    def kill(self) -> None:
        """Lose everything in memory; start again from what is committed."""
        self.worker = Worker(self)

    def finish(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Work everything off; return the stored pictures without what counts how often they were told."""
        while self.worker.turn():
            pass
        for log in self.raw:  # time goes on: a worker that was killed at the end of the logs hears it again
            log.append(RawRecord(0, self.end_ns + 260 * SECOND_NS, ()))
        while self.worker.turn():
            pass
        return {
            key: health.model_dump(mode="json", exclude={"revision", "version"}) for key, health in self.store.items()
        }


class Worker:
    """All stages of all partitions in one process."""

    def __init__(self, chain: Chain) -> None:
        places = range(chain.partitions)
        raw_sources = [f"otel.traces/{p}" for p in places]
        stub_sources = [f"telemetry.stubs/{p}" for p in places]
        config, committed = chain.config, chain.committed
        self.chain = chain
        self.clocks = [SourceClock(source) for source in raw_sources]
        self.panes = [PaneFold(s, config, committed["raw", p].closed) for p, s in enumerate(raw_sources)]
        self.cutters = [StubFold(source, chain.partitions, config) for source in raw_sources]
        self.edges = [
            EdgeFold(s, raw_sources, config, committed["stubs", p].closed) for p, s in enumerate(stub_sources)
        ]
        self.healths = [
            HealthFold(f"telemetry.rollups/{p}", raw_sources + stub_sources, config, committed["rollups", p].closed)
            for p in places
        ]
        for p in places:
            for known in committed["rollups", p].known:
                self.healths[p].remember(known)
        self.at = {(topic, p): committed[topic, p].floor for topic in ("raw", "stubs", "rollups") for p in places}

    def turn(self, count: int = 50) -> bool:
        """Read up to ``count`` records of every partition, flush and commit; False when there was nothing to read."""
        found = False
        for read, flush in (
            (self.read_raw, self.flush_raw),
            (self.read_stubs, self.flush_stubs),
            (self.read_rollups, self.flush_rollups),
        ):
            for p in range(self.chain.partitions):
                if read(p, count):
                    found = True
                    flush(p)
        for p in range(self.chain.partitions):
            self.commit(p)
        return found

    # -- ingest --------------------------------------------------------------------------------------------

    def read_raw(self, p: int, count: int) -> int:
        """Decode and fold raw records."""
        first = self.at["raw", p]
        records = self.chain.raw[p][first : first + count]
        for offset, record in enumerate(records, first):
            columns = decode_spans(traces_payload(record.spans))
            self.clocks[p].observe(record.at_ns)
            self.panes[p].step_spans(TENANT, columns, record.at_ns, offset)
            self.cutters[p].step(TENANT, columns, record.at_ns, offset)
        self.at["raw", p] += len(records)
        return len(records)

    def flush_raw(self, p: int) -> None:
        """Send partials and stubs, then progress."""
        self.send_partials(self.panes[p].close_until(self.clocks[p]))
        for record in self.cutters[p].flush():
            self.chain.stubs[record.partition].append(record.value)
        for log in (*self.chain.stubs, *self.chain.rollups):
            log.append(self.clocks[p].progress())  # type: ignore[attr-defined]

    def send_partials(self, partials: list[ServicePartial]) -> None:
        """Put partials where their service belongs, as bytes would."""
        for partial in partials:
            place = crc32(partial.service.encode()) % self.chain.partitions
            self.chain.rollups[place].append(ServicePartial.decode(partial.encode()))

    # -- edges ---------------------------------------------------------------------------------------------

    def read_stubs(self, p: int, count: int) -> int:
        """Fold stubs and progress."""
        first = self.at["stubs", p]
        records = self.chain.stubs[p][first : first + count]
        for offset, record in enumerate(records, first):
            if isinstance(record, Progress):
                self.edges[p].step_progress(record, offset)
            else:
                self.edges[p].step(decode_stubs(record), offset)
        self.at["stubs", p] += len(records)
        return len(records)

    def flush_stubs(self, p: int) -> None:
        """Send partials, then progress."""
        self.send_partials(self.edges[p].flush())
        for log in self.chain.rollups:
            log.append(self.edges[p].progress())

    # -- health --------------------------------------------------------------------------------------------

    def read_rollups(self, p: int, count: int) -> int:
        """Fold partials and progress."""
        first = self.at["rollups", p]
        records = self.chain.rollups[p][first : first + count]
        for offset, record in enumerate(records, first):
            if isinstance(record, Progress):
                self.healths[p].step_progress(record, offset)
            else:
                self.healths[p].step_partial(record, offset)
        self.at["rollups", p] += len(records)
        return len(records)

    def flush_rollups(self, p: int) -> None:
        """Store what is published; a larger version replaces."""
        for health in self.healths[p].publish():
            key = (health.service, health.pane_start_ns)
            held = self.chain.store.get(key)
            if held is None or health.version >= held.version:
                self.chain.store[key] = health

    # -- commits -------------------------------------------------------------------------------------------

    def commit(self, p: int) -> None:
        """Commit the floors of one partition of every topic, with what was closed by then."""
        for topic, fold in (("raw", self.panes[p]), ("stubs", self.edges[p]), ("rollups", self.healths[p])):
            needed = fold.lowest_needed_offset()  # type: ignore[attr-defined]
            floor = self.at[topic, p] if needed is None else needed
            known = self.healths[p].known() if topic == "rollups" else []
            self.chain.committed[topic, p] = Checkpoint(floor, fold.closed(), known)  # type: ignore[attr-defined]
