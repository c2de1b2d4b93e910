"""Panes measured again from everything: what the batch oracle says when nothing is late."""

from __future__ import annotations

from batch_oracle import Pictures, edges_of, operations_of
from hypothesis import given, settings
from made_spans import Arrival, telemetry, traces_payload

from schemas.health import NodeKind, ServiceHealth
from streams.contents import PaneContents, merge_contents
from streams.pictures import Standing, picture_of
from streams.remeasuring import measure, touched_panes
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
TENANT = "acme"
Told = dict[tuple[str, int], ServiceHealth]


def in_time(arrivals: list[Arrival]) -> list[Arrival]:
    """Return the same spans, each arriving a second after its end."""
    return [Arrival(a.span, a.span.end_ns + SECOND_NS) for a in arrivals]


def told_by_oracle(arrivals: list[Arrival], panes: list[int]) -> Told:
    """Make the pictures of these panes from what the oracle counts and pairs."""
    contents: Pictures = {}
    for found in (operations_of(arrivals, CONFIG), edges_of(arrivals, CONFIG)):
        for key, part in found.items():
            contents.setdefault(key, PaneContents()).add(part)
    order = [kind.value for kind in (NodeKind.SERVICE, NodeKind.DATABASE, NodeKind.MESSAGING, NodeKind.EXTERNAL)]
    kinds: dict[str, str] = {}
    for node, kind, _ in sorted(contents, key=lambda key: order.index(key[1]) if key[1] in order else 9):
        kinds.setdefault(node, kind)
    told: Told = {}
    for node, node_kind in kinds.items():
        by_pane = {
            pane: merge_contents(c for (n, _, p), c in contents.items() if (n, p) == (node, pane)) for pane in panes
        }
        for pane in panes:
            standing = Standing(TENANT, node, NodeKind(node_kind), pane, 0, 0, True, True)
            first_ns = pane + CONFIG.pane_ns - CONFIG.window_ns
            window = merge_contents(c for (n, _, p), c in contents.items() if n == node and first_ns <= p <= pane)
            told[node, pane] = comparable(picture_of(standing, by_pane[pane], window, CONFIG))
    return told


def comparable(picture: ServiceHealth) -> ServiceHealth:
    """Drop the exemplars, of which the oracle says nothing, and what is set later."""
    fields = {"exemplars": ServiceHealth.model_fields["exemplars"].default, "revision": 0, "version": 0}
    return picture.model_copy(update=fields)


def measured(arrivals: list[Arrival], panes: list[int]) -> Told:
    """Measure the panes from requests of a few spans each."""
    spans = [arrival.span for arrival in arrivals]
    payloads = [traces_payload(spans[at : at + 5]) for at in range(0, len(spans), 5)]
    pictures = measure(TENANT, payloads, [], panes, CONFIG)
    return {(picture.service, picture.pane_start_ns): comparable(picture) for picture in pictures}


def panes_of(arrivals: list[Arrival]) -> list[int]:
    """Return every pane from the first to the last that any window needs."""
    starts = [CONFIG.pane_of(a.span.end_ns) for a in arrivals]
    return list(range(min(starts), max(starts) + CONFIG.window_ns, CONFIG.pane_ns))


@given(arrivals=telemetry())
@settings(max_examples=60, deadline=None)
def test_measured_panes_are_what_the_oracle_says(arrivals: list[Arrival]) -> None:
    """Operations, errors, latencies, self times, edges and windows of every pane, late or not."""
    panes = panes_of(arrivals)
    expected, found = told_by_oracle(in_time(arrivals), panes), measured(arrivals, panes)
    assert found
    for key, picture in found.items():
        assert picture == expected[key]
    assert all(key in found for key, picture in expected.items() if picture.operations or picture.edges_in)


@given(arrivals=telemetry())
@settings(max_examples=60, deadline=None)
def test_late_items_change_no_pane_but_those_that_are_touched(arrivals: list[Arrival]) -> None:
    """Their own panes, those of their traces, and the windows these are in: nothing else needs to be measured."""
    late = arrivals[::3]
    early = [arrival for arrival in arrivals if arrival not in late]
    if not early:
        return
    traces = {arrival.span.trace for arrival in late}
    related = [CONFIG.pane_of(a.span.end_ns) for a in arrivals if a.span.trace in traces]
    touched = set(touched_panes([CONFIG.pane_of(a.span.end_ns) for a in late], related, CONFIG))
    panes = panes_of(arrivals)
    before, after = measured(early, panes), measured(arrivals, panes)
    changed = {pane for service, pane in after if before.get((service, pane)) != after[service, pane]}
    empty = {pane for service, pane in after if not (after[service, pane].operations or after[service, pane].edges_in)}
    assert changed - empty <= touched
