"""Fold the spans and logs of one source partition into panes.

Items are only buffered as they come; a flush tallies all of them at once with numpy, so the cost of a span
does not depend on how small the messages are.

Which pane: a span's end, a log's time. Whether an item enters is decided by it and the arrival of its own
record alone (`streams.lateness`), so that reading the log again gives the same panes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.health import NodeKind
from schemas.keys import OVERFLOW_OPERATION, OVERFLOW_SERVICE
from schemas.losses import LossReason
from streams.batch import Batch, Messages
from streams.contents import (
    ENTRY_KINDS,
    OVERFLOW_INSTANCE,
    OVERFLOW_SHAPE,
    OVERFLOW_VERSION,
    OperationKey,
    OperationTally,
    PaneContents,
    PartTally,
    SignatureKey,
    SignatureTally,
)
from streams.grouping import Ints
from streams.late import LateLedger, LateNotice
from streams.lateness import Verdict, judge
from streams.operation_names import normalise_operations
from streams.otlp.columns import LogColumns, SpanColumns
from streams.partials import ServicePartial
from streams.progress import Clock, Progress, later, reading_of
from streams.tally import (
    Delta,
    LogTable,
    SpanTable,
    tally_exceptions,
    tally_late,
    tally_logs,
    tally_signatures,
    tally_spans,
)
from streams.windows import Loss, LossLedger, WindowConfig


class _Parts(NamedTuple):
    """What a service is taken apart into, and how many of it there may be in one pane."""

    name: str
    most: str
    overflow: str
    loss: LossReason


_PARTS = (
    _Parts("instances", "max_instances", OVERFLOW_INSTANCE, LossReason.INSTANCE_OVERFLOW),
    _Parts("versions", "max_versions", OVERFLOW_VERSION, LossReason.VERSION_OVERFLOW),
)


@dataclass(slots=True)
class _ServicePane:
    """The contents so far of one open pane of one service."""

    first_offset: int
    last_offset: int
    contents: PaneContents = field(default_factory=PaneContents)
    entry_operations: int = 0

    @property
    def tallies(self) -> int:
        """What it counts towards `WindowConfig.max_tallies`."""
        contents = self.contents
        parts = len(contents.instances) + len(contents.versions)
        return len(contents.operations) + len(contents.signatures) + parts


@dataclass(slots=True)
class _Tenant:
    driven: bool = False
    spans: Batch[SpanColumns] = field(default_factory=Batch)
    logs: Batch[LogColumns] = field(default_factory=Batch)
    panes: dict[int, dict[str, _ServicePane]] = field(default_factory=dict)
    changed: dict[tuple[int, str], None] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        return not (self.panes or self.spans.columns or self.logs.columns)


class PaneFold:
    """Folds one source partition (``otel.traces/3``) into partials of panes.

    ``closed`` is what `closed` returned when the floor this fold starts from was committed: panes that had
    closed by then are complete downstream, and items read again that belong to them are skipped.
    """

    def __init__(self, source: str, config: WindowConfig, closed: Progress | None = None) -> None:
        self.source = source
        self._config = config
        self._settled = closed
        self._closed = closed or Progress(source, 0)
        self._tenants: dict[str, _Tenant] = {}
        self._pending = 0
        self._tallies = 0
        self._losses = LossLedger()
        self._late = LateLedger()

    # -- in ------------------------------------------------------------------------------------------------

    def step_spans(self, tenant: str, columns: SpanColumns, arrival_ns: int, offset: int, driven: bool = False) -> None:
        """Take the spans of one record. Offsets must ascend. ``driven``: ``arrival_ns`` is a replay's."""
        self.take_spans(tenant, columns, Messages.one(len(columns), arrival_ns, offset), driven)

    def step_logs(self, tenant: str, columns: LogColumns, arrival_ns: int, offset: int, driven: bool = False) -> None:
        """Take the log records of one record, as `step_spans`."""
        self.take_logs(tenant, columns, Messages.one(len(columns), arrival_ns, offset), driven)

    def take_spans(self, tenant: str, columns: SpanColumns, messages: Messages, driven: bool = False) -> None:
        """Take the spans of several records of one tenant."""
        self._note_text(tenant, columns)
        self._losses.add(tenant, LossReason.UNTEMPLATED, len(columns.signed.unread))
        if self._config.normalises_operations:
            normalise_operations(columns)
        state = self._tenant(tenant, len(columns), driven)
        if state is not None:
            state.spans.add(columns, messages)

    def take_logs(self, tenant: str, columns: LogColumns, messages: Messages, driven: bool = False) -> None:
        """Take the log records of several records of one tenant."""
        self._note_text(tenant, columns)
        self._losses.add(tenant, LossReason.UNTEMPLATED, len(columns) - len(columns.signed.row))
        state = self._tenant(tenant, len(columns), driven)
        if state is not None:
            state.logs.add(columns, messages)

    def _note_text(self, tenant: str, columns: SpanColumns | LogColumns) -> None:
        self._losses.add(tenant, LossReason.REPAIRED_TEXT, columns.repaired)
        self._losses.add(tenant, LossReason.TRUNCATED_TEXT, columns.truncated)

    def _tenant(self, tenant: str, items: int, driven: bool) -> _Tenant | None:
        """Return where a tenant's items go; tally first what would overfill the buffer."""
        if not items:
            return None
        if self._pending + items > self._config.max_pending:
            self._tally()
        state = self._tenants.get(tenant)
        if state is None:
            if len(self._tenants) >= self._config.max_tenants:
                self._losses.add(tenant, LossReason.TENANT_OVERFLOW, items)
                return None
            state = self._tenants[tenant] = _Tenant()
        state.driven |= driven
        self._pending += items
        return state

    # -- out -----------------------------------------------------------------------------------------------

    def flush(self) -> list[ServicePartial]:
        """Return the partials that changed since the last flush, as copies."""
        self._tally()
        partials = []
        for name, tenant in self._tenants.items():
            for pane_start_ns, service in tenant.changed:
                pane = tenant.panes[pane_start_ns][service]
                partials.append(self._partial(name, tenant, pane_start_ns, service, pane))
            tenant.changed.clear()
        return partials

    def close_until(self, clock: Clock) -> list[ServicePartial]:
        """Flush, then forget the panes whose end plus lateness the clock has reached."""
        partials = self.flush()
        self._closed = clock.progress(self.source)
        for name, tenant in list(self._tenants.items()):
            reached_ns = clock.at(name)
            for pane_start_ns in [p for p in tenant.panes if self._config.closes_ns(p) <= reached_ns]:
                services = tenant.panes.pop(pane_start_ns)
                self._tallies -= sum(pane.tallies for pane in services.values())
            if tenant.is_idle:
                del self._tenants[name]
        return partials

    def lowest_needed_offset(self) -> int | None:
        """Return the smallest offset that an open pane holds something of; ``None`` if none does."""
        offsets = [
            pane.first_offset
            for tenant in self._tenants.values()
            for services in tenant.panes.values()
            for pane in services.values()
        ]
        for tenant in self._tenants.values():
            offsets += tenant.spans.offsets[:1] + tenant.logs.offsets[:1]
        return min(offsets, default=None)

    def closed(self) -> Progress:
        """Return the clock at which panes were last closed: to be committed with the floor."""
        return later(self._closed, self._settled)

    def drain_late(self) -> list[LateNotice]:
        """Return the panes that late items since the last drain belong to, as far as they are tallied."""
        return self._late.drain()

    def drain_losses(self) -> list[Loss]:
        """Return what did not make it into a pane since the last drain."""
        return self._losses.drain()

    def _partial(
        self, name: str, tenant: _Tenant, pane_start_ns: int, service: str, pane: _ServicePane
    ) -> ServicePartial:
        return ServicePartial(
            tenant=name,
            service=service,
            node_kind=NodeKind.SERVICE,
            pane_start_ns=pane_start_ns,
            source=self.source,
            first_offset=pane.first_offset,
            last_offset=pane.last_offset,
            contents=pane.contents.copy(),
            driven=tenant.driven,
        )

    # -- tallying ------------------------------------------------------------------------------------------

    def _tally(self) -> None:
        for name, tenant in self._tenants.items():
            if tenant.spans.columns:
                self._tally_spans(name, tenant, SpanTable(tenant.spans))
                tenant.spans = Batch()
            if tenant.logs.columns:
                self._tally_logs(name, tenant, LogTable(tenant.logs))
                tenant.logs = Batch()
        self._pending = 0

    def _tally_spans(self, name: str, tenant: _Tenant, table: SpanTable) -> None:
        settled, closed = self._reached(name, tenant)
        verdicts = judge(table.end_ns, table.arrival_ns, self._config, settled, closed)
        implausible = table.clamped | (table.start_ns < table.arrival_ns - self._config.past_ns)
        verdicts[implausible] = Verdict.OUT_OF_RANGE
        live, late = verdicts == Verdict.LIVE, verdicts == Verdict.LATE
        self._losses.add(name, LossReason.OUT_OF_RANGE, int((verdicts == Verdict.OUT_OF_RANGE).sum()))
        self._losses.add(name, LossReason.LATE, int(late.sum()))
        self._losses.add(name, LossReason.NEGATIVE_DURATION, int((live & table.negative).sum()))
        self._note_late(name, tenant, table.end_ns, table, late)
        pane_ns = self._config.pane_ns
        counted = tally_spans(table, live, pane_ns) + tally_exceptions(table, live, pane_ns)
        self._take(name, tenant, counted + tally_late(table, late, pane_ns))

    def _tally_logs(self, name: str, tenant: _Tenant, table: LogTable) -> None:
        settled, closed = self._reached(name, tenant)
        verdicts = judge(table.time_ns, table.arrival_ns, self._config, settled, closed)
        live, late = verdicts == Verdict.LIVE, verdicts == Verdict.LATE
        self._losses.add(name, LossReason.OUT_OF_RANGE, int((verdicts == Verdict.OUT_OF_RANGE).sum()))
        self._losses.add(name, LossReason.LATE, int(late.sum()))
        self._note_late(name, tenant, table.time_ns, table, late)
        pane_ns = self._config.pane_ns
        counted = tally_logs(table, live, pane_ns) + tally_signatures(table, live, pane_ns)
        self._take(name, tenant, counted + tally_late(table, late, pane_ns))

    def _note_late(
        self, name: str, tenant: _Tenant, event_ns: Ints, table: SpanTable | LogTable, late: NDArray[np.bool_]
    ) -> None:
        if late.any():
            rows = (event_ns[late], table.service[late], table.arrival_ns[late])
            self._late.add(name, tenant.driven, *rows, table.names, self._config.pane_ns)

    def _reached(self, name: str, tenant: _Tenant) -> tuple[int, int]:
        """Return the clocks at which panes were settled before the start, and closed since."""
        return reading_of(self._settled, name, tenant.driven), reading_of(self._closed, name, tenant.driven)

    def _take(self, name: str, tenant: _Tenant, deltas: list[Delta]) -> None:
        _, closed_until_ns = self._reached(name, tenant)
        for delta in deltas:
            if self._config.closes_ns(delta.pane_start_ns) > closed_until_ns:
                self._add(name, tenant, delta)

    def _add(self, name: str, tenant: _Tenant, delta: Delta) -> None:
        services = tenant.panes.setdefault(delta.pane_start_ns, {})
        service = delta.service
        if service not in services and len(services) >= self._config.max_services:
            requests = sum(tally.requests for tally in delta.contents.operations.values())
            self._losses.add(name, LossReason.SERVICE_OVERFLOW, requests)
            service = OVERFLOW_SERVICE
        pane = services.setdefault(service, _ServicePane(delta.first_offset, delta.last_offset))
        pane.first_offset = min(pane.first_offset, delta.first_offset)
        pane.last_offset = max(pane.last_offset, delta.last_offset)
        tenant.changed[delta.pane_start_ns, service] = None
        operations, delta.contents.operations = delta.contents.operations, {}
        signatures, delta.contents.signatures = delta.contents.signatures, {}
        parts = [(which, getattr(delta.contents, which.name)) for which in _PARTS]
        delta.contents.instances, delta.contents.versions = {}, {}
        pane.contents.add(delta.contents)
        for key, tally in operations.items():
            self._add_operation(name, pane, key, tally)
        for signature, seen in signatures.items():
            self._add_signature(name, pane, signature, seen)
        for which, found in parts:
            for part, requests_of in found.items():
                self._add_part(name, which, getattr(pane.contents, which.name), part, requests_of)

    def _add_operation(self, name: str, pane: _ServicePane, key: OperationKey, tally: OperationTally) -> None:
        """Add an operation, or fold it into the overflow of its kind when the service has too many."""
        operations = pane.contents.operations
        if key not in operations and not self._has_room(pane, key):
            self._losses.add(name, LossReason.OPERATION_OVERFLOW, tally.requests)
            key = (OVERFLOW_OPERATION, key[1])
        if key in operations:
            operations[key].add(tally)
            return
        operations[key] = tally
        pane.entry_operations += key[1] in ENTRY_KINDS
        self._tallies += 1

    def _add_signature(self, name: str, pane: _ServicePane, key: SignatureKey, seen: SignatureTally) -> None:
        """Add a signature, or fold it into the overflow of its kind when the service has too many."""
        signatures = pane.contents.signatures
        full = len(signatures) >= self._config.max_signatures or self._tallies >= self._config.max_tallies
        if full and key not in signatures:
            self._losses.add(name, LossReason.SIGNATURE_OVERFLOW, seen.count)
            key = (key[0], OVERFLOW_SHAPE)
        self._tallies += key not in signatures
        signatures.setdefault(key, SignatureTally()).add(seen)

    def _add_part(self, name: str, which: _Parts, held: dict[str, PartTally], part: str, requests: PartTally) -> None:
        """Add an instance or a version, or fold it into the overflow when the service has too many."""
        full = len(held) >= getattr(self._config, which.most) or self._tallies >= self._config.max_tallies
        if full and part not in held:
            self._losses.add(name, which.loss, requests.requests)
            part = which.overflow
        self._tallies += part not in held
        held.setdefault(part, PartTally()).add(requests)

    def _has_room(self, pane: _ServicePane, key: OperationKey) -> bool:
        if self._tallies >= self._config.max_tallies:
            return False
        if key[1] in ENTRY_KINDS:
            return pane.entry_operations < self._config.max_entry_operations
        return len(pane.contents.operations) - pane.entry_operations < self._config.max_other_operations
