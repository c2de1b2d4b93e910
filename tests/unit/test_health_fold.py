"""The health fold: when panes are told, what replaces what, and what a silent service gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.health import EdgeHealth, EdgeStats, NodeKind, OperationHealth, RedStats, ServiceHealth
from schemas.losses import LossReason
from streams.contents import EdgeTally, OperationTally, PaneContents, SignatureTally, SpanKind
from streams.health import HealthFold
from streams.latency import bin_of
from streams.partials import ServicePartial
from streams.progress import Progress
from streams.windows import SECOND_NS, WindowConfig

SOURCES = ("otel.traces/0", "otel.traces/1")
CONFIG = WindowConfig()
START_NS = 1_700_000_000 * SECOND_NS
PANE_NS = CONFIG.pane_ns


def partial(
    requests: int, *, pane: int = 0, source: int = 0, first: int = 0, last: int = 0, service: str = "cart"
) -> ServicePartial:
    """Return what a source says of a pane (numbered from the start)."""
    tally = OperationTally(requests, 0, {600: requests}, {})
    contents = PaneContents(operations={("GET /", int(SpanKind.SERVER)): tally})
    return ServicePartial(
        "acme", service, NodeKind.SERVICE, START_NS + pane * PANE_NS, SOURCES[source], first, last, contents
    )


class Run:
    """A fold with a counter for the offsets of its records."""

    def __init__(
        self, closed: Progress | None = None, is_for_judging: bool = False, config: WindowConfig = CONFIG
    ) -> None:
        self.fold = HealthFold("telemetry.rollups/0", SOURCES, config, closed, is_for_judging=is_for_judging)
        self.offset = -1

    def take(self, item: ServicePartial) -> None:
        """Step a partial."""
        self.offset += 1
        self.fold.step_partial(item, self.offset)

    def clock(self, seconds: float, sources: tuple[str, ...] = SOURCES) -> None:
        """Let sources report that they have come ``seconds`` past the start."""
        for source in sources:
            self.offset += 1
            self.fold.step_progress(Progress(source, START_NS + round(seconds * SECOND_NS)), self.offset)

    def told(self, seconds: float) -> list[ServiceHealth]:
        """Let all sources report, and publish."""
        self.clock(seconds)
        return self.fold.publish()


def requests_by_pane(told: list[ServiceHealth]) -> list[tuple[int, int, int]]:
    """Return (pane number, requests in the pane, requests in the window) in the order told."""
    return [((h.pane_start_ns - START_NS) // PANE_NS, h.pane.requests, h.window.requests) for h in told]


def test_a_pane_is_told_when_every_source_has_passed_its_settling_time() -> None:
    """One lagging source holds the pane back."""
    run = Run()
    run.take(partial(5))
    run.clock(15, SOURCES[:1])
    assert run.fold.publish() == []
    run.clock(14.9, SOURCES[1:])
    assert run.fold.publish() == []
    assert requests_by_pane(run.told(15)) == [(0, 5, 5)]


def test_sources_are_merged_and_a_newer_partial_replaces_its_own_source_only() -> None:
    """3 of source 0 become 4; the 10 of source 1 stay."""
    run = Run()
    run.take(partial(3, source=0, last=7))
    run.take(partial(10, source=1, last=2))
    run.take(partial(4, source=0, last=9))
    assert requests_by_pane(run.told(15)) == [(0, 14, 14)]


def test_the_same_partial_again_changes_nothing() -> None:
    """A second delivery is no news."""
    run = Run()
    run.take(partial(3, last=7))
    run.told(15)
    run.take(partial(3, last=7))
    assert run.told(16) == []
    assert run.fold.drain_losses() == []


def test_a_partial_rebuilt_from_too_late_an_offset_is_refused_and_counted() -> None:
    """It would lose what came before its first offset."""
    run = Run()
    run.take(partial(9, first=0, last=7))
    run.take(partial(2, first=5, last=9))
    assert requests_by_pane(run.told(15)) == [(0, 9, 9)]
    assert [loss.reason for loss in run.fold.drain_losses()] == [LossReason.INCOMPLETE_PARTIAL]


def test_a_change_after_publication_revises_the_pane_and_the_windows_over_it() -> None:
    """Panes 0 and 1 are told; a late replacement in pane 0 tells both again, with higher revisions."""
    run = Run()
    run.take(partial(5, pane=0, last=1))
    run.take(partial(6, pane=1, first=2, last=2))
    assert requests_by_pane(run.told(25)) == [(0, 5, 5), (1, 6, 11)]
    run.take(partial(7, pane=0, last=3))
    revised = run.told(26)
    assert requests_by_pane(revised) == [(0, 7, 7), (1, 6, 13)]
    assert [health.revision for health in revised] == [1, 1]


def test_nothing_changes_a_pane_after_it_has_closed() -> None:
    """End 10 s plus lateness 60 s: at 70 s the pane is final."""
    run = Run()
    run.take(partial(5, last=1))
    run.told(70)
    run.take(partial(6, last=2))
    assert all(health.pane_start_ns != START_NS for health in run.told(71))
    assert [loss.reason for loss in run.fold.drain_losses()] == [LossReason.CLOSED_PANE]


def test_a_service_that_falls_silent_gets_empty_panes_for_an_hour() -> None:
    """Panes 1 to 360 are told empty, then it is forgotten."""
    run = Run()
    run.take(partial(5))
    told = run.told(2 * 3600)
    assert requests_by_pane(told)[:2] == [(0, 5, 5), (1, 0, 5)]
    assert len(told) == 361
    assert run.fold.known() == []
    assert run.fold.lowest_needed_offset() is None


def test_the_floor_keeps_what_a_window_still_to_be_told_rests_on() -> None:
    """Pane 0 is in windows up to pane 5, which closes at 120 s."""
    run = Run()
    run.take(partial(5))
    run.told(119)
    assert run.fold.lowest_needed_offset() == 0
    run.told(120)
    assert run.fold.lowest_needed_offset() is None


def test_a_restart_tells_the_open_panes_as_if_nothing_had_happened() -> None:
    """Killed at 100 s and read again from the floor, panes 3 and later are told with the same numbers."""
    undisturbed = Run()
    for pane in range(12):
        undisturbed.take(partial(pane + 1, pane=pane, first=pane, last=pane))
    killed = Run()
    for pane in range(9):
        killed.take(partial(pane + 1, pane=pane, first=pane, last=pane))
    killed.told(100)
    assert killed.fold.lowest_needed_offset() == 0
    again = Run(closed=killed.fold.closed())
    for node in killed.fold.known():
        again.fold.remember(node)
    for pane in range(12):
        again.take(partial(pane + 1, pane=pane, first=pane, last=pane))
    expected = [row for row in requests_by_pane(undisturbed.told(140)) if row[0] >= 4]
    assert requests_by_pane(again.told(140)) == expected


def test_a_replayed_tenant_is_moved_by_its_own_time_only() -> None:
    """Wall-clock progress does not tell a driven tenant's panes."""
    run = Run()
    item = partial(5)
    item.driven = True
    run.take(item)
    assert run.told(3600) == []
    for source in SOURCES:
        run.fold.step_progress(Progress(source, START_NS + 3600 * SECOND_NS, {"acme": START_NS + 15 * SECOND_NS}), 99)
    assert requests_by_pane(run.fold.publish()) == [(0, 5, 5)]


def signed_partial(pane: int, last: int) -> ServicePartial:
    """Return a partial with a request, an edge, a log line and an exemplar."""
    one = partial(4 + pane, pane=pane, last=last)
    one.contents.operations["SELECT", int(SpanKind.CLIENT)] = OperationTally(2, 0, {600: 2}, {})
    one.contents.edges["shop", "service", "request"] = EdgeTally(3, 1, 2, 0, 1, {600: 3}, {590: 2}, {400: 2})
    one.contents.signatures["log", "card <*> declined"] = SignatureTally(2, 5, (1, "card 7 declined", b""))
    one.contents.log_severities["error"] = 2
    one.contents.samples.slow.append((9_000, bytes(16)))
    return one


def counted_only(health: ServiceHealth) -> ServiceHealth:
    """Return a picture without the quantiles of its windows, with entry operations only."""
    nothing = dict.fromkeys(name for name in (*RedStats.model_fields, *EdgeStats.model_fields) if name.endswith("_ms"))

    def bare(one: OperationHealth | EdgeHealth) -> OperationHealth | EdgeHealth:
        known = {name: None for name in nothing if name in type(one.window).model_fields}
        return one.model_copy(update={"window": one.window.model_copy(update=known)})

    window = {name: None for name in nothing if name in RedStats.model_fields}
    return health.model_copy(
        update={
            "window": health.window.model_copy(update=window),
            "operations": [bare(one) for one in health.operations if one.kind in ("server", "consumer")],
            "edges_in": [bare(one) for one in health.edges_in],
        }
    )


def news(told: list[ServiceHealth]) -> list[ServiceHealth]:
    """Leave out what closes as it was told before; lines are told again, their names may have changed."""
    seen: dict[tuple[str, int], ServiceHealth] = {}
    kept = []
    for health in told:
        key, standing = (health.service, health.pane_start_ns), {"revision": 0, "version": 0, "final": False}
        said = health.model_copy(update=standing)
        if health.signatures or seen.get(key) != said:
            kept.append(health)
        seen[key] = said
    return kept


def test_pictures_for_judging_are_the_same_but_for_the_quantiles_of_windows() -> None:
    """Revisions, closings, windows and lines too, though a pane that closes unchanged is not told again."""
    full, judged = Run(), Run(is_for_judging=True)
    told: dict[Run, list[ServiceHealth]] = {full: [], judged: []}
    for run in (full, judged):
        for pane in range(3):
            run.take(partial(5, pane=pane, last=pane) if pane == 1 else signed_partial(pane, pane))
            run.take(partial(2, pane=pane, last=pane, service="quiet"))
        told[run] += run.told(40)
        run.take(partial(9, pane=1, last=30))
        told[run] += run.told(45)
        told[run] += run.told(120)
    assert [counted_only(health) for health in news(told[full])] == told[judged]
    assert {health.final for health in told[judged]} == {True, False}
    assert len(told[judged]) < len(told[full])


def test_requests_over_the_threshold_of_the_latency_objective_are_counted() -> None:
    """Of the pane, from its bins, in judging too; without an objective none is slow."""
    for slow_ns, slow in ((0, 0), (250_000_000, 3), (1_000_000_000, 0)):
        for is_for_judging in (False, True):
            run = Run(is_for_judging=is_for_judging, config=WindowConfig(slow_ns=slow_ns))
            run.take(replace(partial(5), contents=_lasting_ms({40: 2, 300: 3})))
            [picture] = run.told(25)[:1]
            assert (picture.pane.requests, picture.slow_requests) == (5, slow)


def _lasting_ms(counts: dict[int, int]) -> PaneContents:
    """Return requests by how long they took."""
    bins = {int(bin_of(np.array([ms * 1_000_000]))[0]): count for ms, count in counts.items()}
    tally = OperationTally(sum(counts.values()), 0, bins, {})
    return PaneContents(operations={("GET /", int(SpanKind.SERVER)): tally})
