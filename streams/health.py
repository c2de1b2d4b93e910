"""Merge the latest partials into closed pictures of services and virtual nodes, pane by pane.

::

    pane ends      + settle: revision 0      changes: revision 1, 2, ..      + lateness: final
       |----------------|------------------------------------------------------|

A pane is the merge of the latest partial of each source; a window is the merge of its panes. Nothing is added
to anything stored, so records read again change nothing. A node that falls silent gets explicit empty panes
for an hour, since a stop of traffic is a finding too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.health import NodeKind, ServiceHealth
from schemas.losses import LossReason
from streams.contents import PaneContents, count_contents, merge_contents
from streams.partials import ServicePartial
from streams.pictures import Standing, picture_of, unlisted
from streams.progress import Progress, ProgressClock, later, reading_of
from streams.signatures.memory import ServiceMemory
from streams.windows import Loss, LossLedger, WindowConfig

_PRECEDENCE = (NodeKind.SERVICE, NodeKind.DATABASE, NodeKind.MESSAGING, NodeKind.EXTERNAL, NodeKind.CLIENT)
"""What a node is when several are said of it."""


Recall = Callable[[str, str], bytes | None]
"""The memory of a service as it was kept: by tenant and service."""


class KnownNode(NamedTuple):
    """A node that gets explicit empty panes until an hour after ``last_seen_ns`` (start of its last busy pane).

    ``first_seen_ns`` (start of its first pane, 0 if not known) keeps it from getting any before it was there.
    """

    tenant: str
    service: str
    node_kind: NodeKind
    last_seen_ns: int
    first_seen_ns: int = 0


@dataclass(slots=True)
class _Pane:
    """The latest partial of each source, with its offset in ``telemetry.rollups``, and what was published.

    A source may know the same name as a service and as a virtual node: those are two partials.
    """

    partials: dict[tuple[str, NodeKind], tuple[ServicePartial, int]] = field(default_factory=dict)
    revision: int = -1
    changed: bool = True
    final: bool = False
    contents: PaneContents | None = None
    told_as: NodeKind | None = None
    """What the node was when the pane was published as it is; ``None`` if it has not been."""

    def is_busy(self) -> bool:
        """Tell whether any source says that something was seen."""
        held = (partial.contents for partial, _ in self.partials.values())
        return any(contents.operations or contents.edges or contents.log_severities for contents in held)

    def merged(self) -> PaneContents:
        if self.contents is None:
            self.contents = merge_contents(partial.contents for partial, _ in self.partials.values())
        return self.contents


@dataclass(slots=True)
class _Node:
    kind: NodeKind
    first_seen_ns: int | None = None
    forgotten_ns: int | None = None
    """The last busy pane that is not held any more."""
    next_pane_ns: int | None = None
    """The first pane that has not been published; ``None``: the first that there is."""
    driven: bool = False
    memory: ServiceMemory = field(default_factory=ServiceMemory)
    panes: dict[int, _Pane] = field(default_factory=dict)

    def last_seen_ns(self) -> int | None:
        """Return the last busy pane; what a source has taken back does not count."""
        newest_first = sorted(self.panes, reverse=True)
        return next((start_ns for start_ns in newest_first if self.panes[start_ns].is_busy()), self.forgotten_ns)


class HealthFold:
    """Folds one partition of ``telemetry.rollups`` (``source`` names it) into `ServiceHealth`.

    ``expected_sources`` are all that send partials here. ``closed`` is what `closed` returned when the floor
    this fold starts from was committed: panes final by then are read again only for the windows of later ones.
    ``recall`` gives back, by tenant and service, what `drain_memories` returned last.
    ``is_for_judging`` spares what no judge looks at: windows are counted without quantiles, of operations only
    those are listed that requests come in by, and a pane that closes unchanged is not published again.
    """

    def __init__(
        self,
        source: str,
        expected_sources: Iterable[str],
        config: WindowConfig,
        closed: Progress | None = None,
        recall: Recall = lambda tenant, service: None,
        is_for_judging: bool = False,
    ) -> None:
        self._recall = recall
        self._is_for_judging = is_for_judging
        self.source = source
        self._config = config
        self._clock = ProgressClock(expected_sources)
        self._settled = closed
        self._published = Progress(source, 0)
        self._position = -1
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._losses = LossLedger()

    # -- in ------------------------------------------------------------------------------------------------

    def step_partial(self, partial: ServicePartial, offset: int) -> None:
        """Take a partial; ``offset`` is the record's own. An older or incomplete version is ignored."""
        self._position = max(self._position, offset)
        if partial.driven:
            self._clock.mark_driven(partial.tenant)
        if self._is_closed(partial):
            self._losses.add(partial.tenant, LossReason.CLOSED_PANE)
            return
        if partial.contents.is_empty and not self._holds(partial):
            return  # it takes back what never came here
        node = self._node(partial.tenant, partial.service, partial.node_kind)
        if node is None:
            return
        pane = node.panes.setdefault(partial.pane_start_ns, _Pane())
        held = pane.partials.get((partial.source, partial.node_kind))
        if held is not None and not partial.replaces(held[0]):
            incomplete = partial.last_offset > held[0].last_offset
            self._losses.add(partial.tenant, LossReason.INCOMPLETE_PARTIAL, int(incomplete))
            return
        pane.partials[partial.source, partial.node_kind] = (partial, offset)
        if held is None or held[0].contents != partial.contents:
            self._touch(node, partial)

    def step_progress(self, progress: Progress, offset: int) -> None:
        """Take a progress record of the rollups topic."""
        self._position = max(self._position, offset)
        self._clock.step(progress)

    def remember(self, known: KnownNode) -> None:
        """Take up a node of before a restart, so that its silence is seen."""
        node = self._node(known.tenant, known.service, known.node_kind)
        if node is not None:
            node.forgotten_ns = max(known.last_seen_ns, node.forgotten_ns or 0)
            settled_ns = reading_of(self._settled, known.tenant, self._clock.is_driven(known.tenant))
            if known.first_seen_ns:
                node.first_seen_ns = min(known.first_seen_ns, node.first_seen_ns or known.first_seen_ns)
            if settled_ns:
                node.next_pane_ns = max(self._config.oldest_open_ns(settled_ns), known.first_seen_ns)

    def _is_closed(self, partial: ServicePartial) -> bool:
        reached_ns = reading_of(self._published, partial.tenant, self._clock.is_driven(partial.tenant))
        return self._config.closes_ns(partial.pane_start_ns) <= reached_ns

    def _holds(self, partial: ServicePartial) -> bool:
        """Tell whether an older version of the partial is here."""
        node = self._nodes.get((partial.tenant, partial.service))
        pane = node.panes.get(partial.pane_start_ns) if node else None
        return pane is not None and (partial.source, partial.node_kind) in pane.partials

    def _node(self, tenant: str, service: str, kind: NodeKind) -> _Node | None:
        node = self._nodes.get((tenant, service))
        if node is None:
            if len(self._nodes) >= self._config.max_nodes:
                self._losses.add(tenant, LossReason.NODE_OVERFLOW)
                return None
            memory = ServiceMemory.decode(self._recall(tenant, service))
            node = self._nodes[tenant, service] = _Node(kind, memory=memory)
        node.kind = min(node.kind, kind, key=_PRECEDENCE.index)
        return node

    def _touch(self, node: _Node, partial: ServicePartial) -> None:
        """Mark a pane, and those whose windows it is in, as changed."""
        start_ns = partial.pane_start_ns
        node.panes[start_ns].contents = None
        for pane_ns, pane in node.panes.items():
            if start_ns <= pane_ns < start_ns + self._config.window_ns:
                pane.changed = True
        node.first_seen_ns = min(start_ns, node.first_seen_ns or start_ns)

    # -- out -----------------------------------------------------------------------------------------------

    def publish(self) -> list[ServiceHealth]:
        """Return the pictures that are new, changed or final by the clock, in the order of their panes."""
        pictures: list[ServiceHealth] = []
        for (tenant, service), node in list(self._nodes.items()):
            reached_ns = self._clock.at(tenant)
            if reached_ns <= 0:
                continue
            node.driven |= self._clock.is_driven(tenant)
            if not self._has_run_out(tenant, node):
                self._open_due_panes(tenant, node, reached_ns)
            pictures += self._publish_node(tenant, service, node, reached_ns)
            self._forget(tenant, service, node, reached_ns)
        self._published = self._clock.progress(self.source)
        pictures.sort(key=lambda picture: (picture.pane_start_ns, picture.tenant, picture.service))
        return pictures

    def progress(self) -> Progress:
        """Return what to send after the pictures of the last `publish`, to the same partition of ``health``."""
        return self._published

    def closed(self) -> Progress:
        """Return the clock at which panes were last made final: to be committed with the floor."""
        return later(self._published, self._settled)

    def lowest_needed_offset(self) -> int | None:
        """Return the smallest offset that an open pane or its window needs; ``None`` if none does."""
        return min(
            (
                offset
                for node in self._nodes.values()
                for pane in node.panes.values()
                for _, offset in pane.partials.values()
            ),
            default=None,
        )

    def known(self) -> list[KnownNode]:
        """Return the nodes to `remember` after a restart."""
        return [
            KnownNode(tenant, service, node.kind, last_seen_ns, node.first_seen_ns or 0)
            for (tenant, service), node in self._nodes.items()
            if (last_seen_ns := node.last_seen_ns()) is not None
        ]

    def drain_memories(self) -> list[tuple[str, str, bytes]]:
        """Return (tenant, service, memory) where it has changed since: to be kept before the floor rises."""
        changed = [(key, node.memory) for key, node in self._nodes.items() if node.memory.needs_keeping()]
        for _, memory in changed:
            memory.kept()
        return [(tenant, service, memory.encode()) for (tenant, service), memory in changed]

    def drain_losses(self) -> list[Loss]:
        """Return what was refused since the last drain."""
        return [*self._losses.drain(), *self._clock.drain_losses()]

    def _settled_ns(self, tenant: str) -> int:
        return reading_of(self._settled, tenant, self._clock.is_driven(tenant))

    def _has_run_out(self, tenant: str, node: _Node) -> bool:
        """Tell whether a node was part of a replay that is over: its silence means nothing."""
        return node.driven and not self._clock.is_driven(tenant)

    def _open_due_panes(self, tenant: str, node: _Node, reached_ns: int) -> None:
        """Make the panes, also empty ones, up to the last that is due; at most an hour after the last traffic."""
        config = self._config
        if node.next_pane_ns is None:
            settled_ns = self._settled_ns(tenant)
            fresh = [p for p in node.panes if config.closes_ns(p) > settled_ns]
            node.next_pane_ns = min(fresh, default=self._config.oldest_open_ns(reached_ns))
        last_due_ns = config.pane_of(reached_ns - config.settle_ns) - config.pane_ns
        last_seen_ns = node.last_seen_ns()
        if last_seen_ns is not None:
            last_due_ns = min(last_due_ns, last_seen_ns + config.zero_panes_ns)
        else:  # only of late items is anything known: there is no traffic that could have stopped
            last_due_ns = min(last_due_ns, max(node.panes, default=last_due_ns))
        for start_ns in range(node.next_pane_ns, last_due_ns + 1, config.pane_ns):
            node.panes.setdefault(start_ns, _Pane())
            node.next_pane_ns = start_ns + config.pane_ns

    def _publish_node(self, tenant: str, service: str, node: _Node, reached_ns: int) -> list[ServiceHealth]:
        settled_ns = self._settled_ns(tenant)
        pictures: list[ServiceHealth] = []
        for start_ns in sorted(node.panes):
            pane = node.panes[start_ns]
            closes_ns = self._config.closes_ns(start_ns)
            if closes_ns <= settled_ns:
                pane.final, pane.changed = True, False
            due, closing = self._config.published_ns(start_ns) <= reached_ns, closes_ns <= reached_ns
            if due and not pane.final and (pane.changed or closing):
                pane.told_as = None if pane.changed else pane.told_as
                pane.revision, pane.changed, pane.final = pane.revision + 1, False, closing
                pictures += self._pictures(tenant, service, node, start_ns, pane)
        return pictures

    def _pictures(self, tenant: str, service: str, node: _Node, start_ns: int, pane: _Pane) -> Iterator[ServiceHealth]:
        """Yield the picture of a pane; none where a judge has seen all that is on it."""
        first_ns = start_ns + self._config.pane_ns - self._config.window_ns
        in_window = [node.panes[p].merged() for p in node.panes if first_ns <= p <= start_ns]
        forgotten = node.memory.templates.learn(pane.merged().signatures, start_ns)
        self._losses.add(tenant, LossReason.TEMPLATE_OVERFLOW, forgotten)
        if self._is_for_judging and pane.told_as is node.kind and not any(one.signatures for one in in_window):
            return  # signatures go by what templates are called, which may change without the pane
        pane.told_as = node.kind
        standing = Standing(
            tenant=tenant,
            service=service,
            node_kind=node.kind,
            pane_start_ns=start_ns,
            revision=pane.revision,
            version=self._position,
            driven=self._clock.is_driven(tenant),
            final=pane.final,
        )
        brief = self._is_for_judging
        window = (count_contents if brief else merge_contents)(in_window)
        picture = picture_of(standing, pane.merged(), window, self._config, node.memory.templates, entries_only=brief)
        if pane.final:
            self._losses.add(tenant, LossReason.UNLISTED, unlisted(pane.merged(), picture))
        yield picture

    def _forget(self, tenant: str, service: str, node: _Node, reached_ns: int) -> None:
        """Drop the panes that no open pane's window needs, and a node that has been silent for an hour."""
        config = self._config
        oldest_open_ns = self._config.oldest_open_ns(reached_ns)
        for start_ns in [p for p in node.panes if p + config.window_ns <= oldest_open_ns]:
            if node.panes.pop(start_ns).is_busy():
                node.forgotten_ns = max(start_ns, node.forgotten_ns or start_ns)
        last_seen_ns = node.last_seen_ns()
        silent = last_seen_ns is None or reached_ns - last_seen_ns > config.zero_panes_ns + config.pane_ns
        if (silent or self._has_run_out(tenant, node)) and not node.panes:
            del self._nodes[tenant, service]
