"""Merge partial windows into the health of services, and decide when a pane may be told.

::

    ServicePartial ─▶ node ─▶ pane ─▶ latest partial per source ─┐
    Progress ───────▶ clock ─────────────────────────────────────┴─▶ publish ─▶ ServiceHealth (pane + sliding window)

A pane is published when the clock has passed its end by the settling time, for every node seen in the last hour:
one that fell silent gets an explicit empty pane. It is published again, as a higher revision, when a source
replaces what it said of the pane or of another one in its window, until it closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.events import NodeKind, ServiceHealth
from schemas.losses import LossReason
from streams.health_view import NodePanes, view
from streams.partials import PaneContents, ServicePartial, merge_contents
from streams.progress import Progress, ProgressClock, reading_of
from streams.windows import Loss, LossLedger, WindowConfig


class KnownNode(NamedTuple):
    """A service or virtual node and the end of the last pane in which anything was seen of it (ns)."""

    tenant: str
    service: str
    node_kind: NodeKind
    last_seen_ns: int


@dataclass(slots=True)
class _Pane:
    """What the sources say of one pane of one node."""

    partials: dict[str, tuple[ServicePartial, int]] = field(default_factory=dict)
    changed: bool = True
    revision: int = -1
    merged: PaneContents | None = None

    def contents(self) -> PaneContents:
        if self.merged is None:
            self.merged = merge_contents(partial.contents for partial, _ in self.partials.values())
        return self.merged


@dataclass(slots=True)
class _Node:
    kind: NodeKind
    first_pane_ns: int
    last_seen_ns: int
    panes: dict[int, _Pane] = field(default_factory=dict)


@dataclass(slots=True)
class _Tenant:
    """The nodes of one tenant; the first pane that is told in this run, and the first not told yet."""

    first_pane_ns: int
    next_pane_ns: int
    driven: bool
    nodes: dict[str, _Node] = field(default_factory=dict)


class HealthFold:
    """The health of the services of one partition of ``telemetry.rollups``.

    ``closed`` is the checkpoint of an earlier run (`HealthFold.closed`): what had been closed is not told again.
    """

    def __init__(
        self, source: str, expected_sources: Iterable[str], config: WindowConfig, closed: Progress | None = None
    ) -> None:
        self.source = source
        self._config = config
        self._clock = ProgressClock(expected_sources)
        self._closed = closed
        self._published = Progress(source, 0)
        self._tenants: dict[str, _Tenant] = {}
        self._node_count = 0
        self._last_offset = -1
        self._losses = LossLedger()

    def step_partial(self, partial: ServicePartial, offset: int) -> None:
        """Take a partial; ``offset`` is that of its record in ``telemetry.rollups``, ascending."""
        self._last_offset = offset
        if partial.driven:
            self._clock.mark_driven(partial.tenant)
        if self._is_over(partial):
            return
        node = self._node(partial)
        if node is None:
            self._losses.add(partial.tenant, LossReason.NODE_OVERFLOW)
            return
        if self._replace(node, partial, offset):
            self._touch(node, partial)

    def step_progress(self, progress: Progress, offset: int) -> None:
        """Take the progress of a source."""
        self._last_offset = offset
        self._clock.step(progress)

    def publish(self) -> list[ServiceHealth]:
        """Return the panes that are due or changed, ascending by pane; then forget what no open window needs."""
        told: list[ServiceHealth] = []
        for name, tenant in self._tenants.items():
            clock_ns = self._clock.at(name)
            if clock_ns:
                told.extend(self._publish_tenant(name, tenant, clock_ns))
                self._forget(tenant, clock_ns)
        self._tenants = {name: tenant for name, tenant in self._tenants.items() if tenant.nodes}
        self._published = self._clock.progress(self.source)
        return sorted(told, key=lambda health: health.pane_start_ns)

    def progress(self) -> Progress:
        """Return what to tell the next stage after the panes of the last `publish`."""
        return self._published

    def closed(self) -> Progress:
        """Return the checkpoint to hand to the next run as ``closed``."""
        return self._published

    def lowest_needed_offset(self) -> int | None:
        """Return the smallest offset of ``telemetry.rollups`` that a window still to be published rests on."""
        return min(
            (
                offset
                for tenant in self._tenants.values()
                for node in tenant.nodes.values()
                for pane in node.panes.values()
                for _, offset in pane.partials.values()
            ),
            default=None,
        )

    def known(self) -> list[KnownNode]:
        """Return the nodes that get explicit empty panes when they fall silent."""
        return [
            KnownNode(name, service, node.kind, node.last_seen_ns)
            for name, tenant in self._tenants.items()
            for service, node in tenant.nodes.items()
        ]

    def remember(self, known: KnownNode) -> None:
        """Take back a node of an earlier run; its empty panes go on where that run had closed."""
        driven = self._closed is not None and known.tenant in self._closed.driven
        tenant = self._tenant(known.tenant, driven, known.last_seen_ns)
        if known.service not in tenant.nodes and self._node_count < self._config.max_nodes:
            self._node_count += 1
            tenant.nodes[known.service] = _Node(known.node_kind, known.last_seen_ns, known.last_seen_ns)

    def drain_losses(self) -> list[Loss]:
        """Return what did not get into a window since the last drain."""
        return self._losses.drain()

    # -- taking -------------------------------------------------------------------------------------------

    def _is_over(self, partial: ServicePartial) -> bool:
        """Tell whether no pane that is still open has this one in its window."""
        config = self._config
        reading_ns = reading_of(self._closed, partial.tenant, partial.driven)
        if config.closes_ns(partial.pane_start_ns) + config.window_ns - config.pane_ns <= reading_ns:
            return True  # a record that was in full in an earlier run; here it may be incomplete
        if config.closes_ns(partial.pane_start_ns) <= self._clock.at(partial.tenant):
            self._losses.add(partial.tenant, LossReason.CLOSED_PANE)
            return True
        return False

    def _tenant(self, name: str, driven: bool, pane_start_ns: int) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            first_open_ns = self._first_open(reading_of(self._closed, name, driven))
            next_pane_ns = max(self._config.pane_of(pane_start_ns), first_open_ns)
            tenant = self._tenants[name] = _Tenant(first_open_ns, next_pane_ns, driven)
        return tenant

    def _first_open(self, reading_ns: int) -> int:
        """Return the first pane that was not closed when a clock read this."""
        config = self._config
        return config.pane_of(max(0, reading_ns - config.lateness_ns))

    def _node(self, partial: ServicePartial) -> _Node | None:
        tenant = self._tenant(partial.tenant, partial.driven, partial.pane_start_ns)
        node = tenant.nodes.get(partial.service)
        if node is None:
            if self._node_count >= self._config.max_nodes:
                return None
            self._node_count += 1
            node = tenant.nodes[partial.service] = _Node(partial.node_kind, partial.pane_start_ns, 0)
        if partial.node_kind is NodeKind.SERVICE:
            node.kind = NodeKind.SERVICE  # its own telemetry knows better than a client's guess
        return node

    def _replace(self, node: _Node, partial: ServicePartial, offset: int) -> bool:
        """Put the partial in the place of its source's older one; tell whether it was newer."""
        pane = node.panes.setdefault(partial.pane_start_ns, _Pane())
        held = pane.partials.get(partial.source)
        if held is not None and not partial.replaces(held[0]):
            if partial.last_offset > held[0].last_offset:
                self._losses.add(partial.tenant, LossReason.INCOMPLETE_PARTIAL)
            return False
        pane.partials[partial.source] = (partial, offset)
        return True

    def _touch(self, node: _Node, partial: ServicePartial) -> None:
        """Mark the pane, and the later ones that have it in their window, as changed."""
        config, start_ns = self._config, partial.pane_start_ns
        node.first_pane_ns = min(node.first_pane_ns, start_ns)
        node.panes[start_ns].merged = None
        for later_ns in range(start_ns, start_ns + config.window_ns, config.pane_ns):
            if later_ns in node.panes:
                node.panes[later_ns].changed = True
        contents = partial.contents
        if contents.operations or contents.edges or contents.log_severities:
            node.last_seen_ns = max(node.last_seen_ns, start_ns + config.pane_ns)
        self._tenants[partial.tenant].driven |= partial.driven

    # -- publishing ---------------------------------------------------------------------------------------

    def _publish_tenant(self, name: str, tenant: _Tenant, clock_ns: int) -> Iterator[ServiceHealth]:
        config = self._config
        new: list[int] = []
        while config.published_ns(tenant.next_pane_ns) <= clock_ns:
            if not any(self._is_known(node, tenant.next_pane_ns) for node in tenant.nodes.values()):
                tenant.next_pane_ns = self._next_with_data(tenant, clock_ns)
                continue
            new.append(tenant.next_pane_ns)
            tenant.next_pane_ns += config.pane_ns
        for service, node in tenant.nodes.items():
            for pane_start_ns in self._due(node, new, tenant):
                pane = node.panes.setdefault(pane_start_ns, _Pane())
                pane.revision += 1
                pane.changed = False
                yield view(
                    self._node_panes(name, service, node, pane_start_ns, tenant.driven),
                    revision=pane.revision,
                    version=self._last_offset,
                    final=config.closes_ns(pane_start_ns) <= clock_ns,
                )

    def _is_known(self, node: _Node, pane_start_ns: int) -> bool:
        silent_until_ns = node.last_seen_ns + self._config.zero_panes_ns
        return node.first_pane_ns <= pane_start_ns < silent_until_ns or pane_start_ns in node.panes

    def _next_with_data(self, tenant: _Tenant, clock_ns: int) -> int:
        """Skip the panes in which no node is known, up to the first that is not due yet."""
        config = self._config
        ahead = [start for node in tenant.nodes.values() for start in node.panes if start > tenant.next_pane_ns]
        ahead += [node.first_pane_ns for node in tenant.nodes.values() if node.first_pane_ns > tenant.next_pane_ns]
        first_not_due_ns = config.pane_of(clock_ns - config.settle_ns)
        return max(tenant.next_pane_ns + config.pane_ns, min([first_not_due_ns, *ahead]))

    def _due(self, node: _Node, new: list[int], tenant: _Tenant) -> list[int]:
        told = range(tenant.first_pane_ns, tenant.next_pane_ns)
        changed = {start for start, pane in node.panes.items() if pane.changed and start in told}
        return sorted(changed.union(start for start in new if self._is_known(node, start)))

    def _node_panes(self, tenant: str, service: str, node: _Node, pane_start_ns: int, driven: bool) -> NodePanes:
        config = self._config
        empty = PaneContents()
        in_window = range(pane_start_ns - config.window_ns + config.pane_ns, pane_start_ns + 1, config.pane_ns)
        return NodePanes(
            tenant,
            service,
            node.kind,
            pane_start_ns,
            config,
            node.panes[pane_start_ns].contents() if pane_start_ns in node.panes else empty,
            merge_contents(node.panes[start].contents() for start in in_window if start in node.panes),
            driven,
        )

    def _forget(self, tenant: _Tenant, clock_ns: int) -> None:
        config = self._config
        for service, node in list(tenant.nodes.items()):
            for start in [s for s in node.panes if config.closes_ns(s) + config.window_ns - config.pane_ns <= clock_ns]:
                del node.panes[start]
            if not node.panes and node.last_seen_ns + config.zero_panes_ns <= tenant.next_pane_ns:
                del tenant.nodes[service]
                self._node_count -= 1
