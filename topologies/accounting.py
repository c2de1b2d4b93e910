"""The account of what ingest does not land: ticks, refusals, repeated replays, so that no offset is a riddle.

::

    take ─▶ Ledger of a batch ─▶ Accounts ─▶ every few seconds: ClickHouse offset_notes ─▶ floor may pass

Landed records account for themselves (a view on ``landed_records``). Notes are sets of offsets: written again after a
crash they change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from faust.types import TP

from schemas.reconciling import Outcome
from sinks.clickhouse.accounts import NEWEST_EVENT, Note, write_notes
from sinks.clickhouse.client import ClickHouse
from topologies.patience import insist
from topologies.progressing import Pacer

WRITE_EVERY_S = 5.0
MAX_NOTES = 10_000
"""Written at once when there are so many: a flood of refusals of many tenants must not pile up."""


@dataclass(slots=True)
class Ledger:
    """What one batch of one partition came to, beside what is landed."""

    partition: TP
    notes: list[Note] = field(default_factory=list)
    newest: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By tenant: newest event time and newest arrival of what is landed."""

    def note(self, tenant: str, outcome: Outcome, offset: int, arrival_ns: int) -> None:
        """Note one record; ranges of the same grow."""
        last = self.notes[-1] if self.notes else None
        if last is not None and (last.tenant, last.outcome, last.end_offset) == (tenant, outcome, offset):
            newest_ns = max(last.newest_arrival_ns, arrival_ns)
            self.notes[-1] = replace(last, end_offset=offset + 1, newest_arrival_ns=newest_ns)
        else:
            self.notes.append(Note(*self.partition, tenant, outcome, offset, offset + 1, arrival_ns))

    def event(self, tenant: str, event_ns: int, arrival_ns: int) -> None:
        """Note how new a landed item is; a clock that is ahead makes nothing newer than its arrival."""
        known_event_ns, known_arrival_ns = self.newest.get(tenant, (0, 0))
        self.newest[tenant] = max(known_event_ns, min(event_ns, arrival_ns)), max(known_arrival_ns, arrival_ns)


class Accounts:
    """Notes of all partitions of one topic that wait to be written."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._notes: list[Note] = []
        self._newest: dict[tuple[TP, str], tuple[int, int, int]] = {}
        self._due = Pacer(WRITE_EVERY_S)

    def take(self, ledger: Ledger, next_offset: int) -> None:
        """Take over what a batch came to; ``next_offset`` is where its partition goes on."""
        self._notes += ledger.notes
        for tenant, (event_ns, arrival_ns) in ledger.newest.items():
            self._newest[ledger.partition, tenant] = event_ns, arrival_ns, next_offset - 1

    def refused(self, partition: TP, tenant: str, offset: int) -> None:
        """Note a record that the store itself has refused."""
        self._notes.append(Note(*partition, tenant, Outcome.REFUSED, offset, offset + 1))

    def needed(self, partition: TP) -> int | None:
        """Return the smallest offset of a partition whose note is not written yet, or None."""
        place = (partition.topic, partition.partition)
        return min((note.first_offset for note in self._notes if (note.topic, note.partition) == place), default=None)

    async def write(self, wanted: Callable[[], bool]) -> None:
        """Write what waits, when that is due. Raises `LaneEndedError`."""
        if not (self._notes or self._newest) or not (self._due.due() or len(self._notes) >= MAX_NOTES):
            return
        events = [
            Note(*partition, tenant, NEWEST_EVENT, offset, offset, arrival_ns, event_ns)
            for (partition, tenant), (event_ns, arrival_ns, offset) in self._newest.items()
        ]
        notes = [*self._notes, *events]
        await insist("clickhouse", "accounts", lambda: write_notes(self._clickhouse, notes), wanted)
        self.clear()

    def clear(self) -> None:
        """Forget what waits: its records are read again."""
        self._notes, self._newest = [], {}


def lowest(*offsets: int | None) -> int | None:
    """Return the smallest of the offsets that are not None."""
    return min((offset for offset in offsets if offset is not None), default=None)
