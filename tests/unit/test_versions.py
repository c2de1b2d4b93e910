"""Versions of a service, pane by pane: which is a change, what is none, and how they are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from schemas.deviations import VersionShare
from schemas.health import ServiceHealth, VersionHealth
from schemas.losses import LossReason
from streams.contents import OVERFLOW_VERSION, merge_contents
from streams.latency import bin_of
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.versions import VersionConfig, VersionFold, VersionMemory, changes_seen
from streams.windows import SECOND_NS, WindowConfig
from tests.made_health import deviations, health, pane_start
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

FAST_BIN, SLOW_BIN = bin_of(np.array([10 * MS_NS, 2_000 * MS_NS])).tolist()
Pane = Mapping[str, int]


def counted(pane: int, requests: Pane, slow: Pane | None = None) -> ServiceHealth:
    """Return a pane of service cart in which each version has so many requests, of them some slow."""
    versions = [
        VersionHealth(
            version=name, requests=n, errors=0,
            durations={FAST_BIN: n - (slow or {}).get(name, 0), SLOW_BIN: (slow or {}).get(name, 0)},
        )
        for name, n in requests.items()
    ]  # fmt: skip
    return health("cart", pane).model_copy(update={"versions": versions})


class Seen:
    """A fold, its memory, and what it has told."""

    def __init__(self, config: VersionConfig | None = None) -> None:
        self.fold, self.memory = VersionFold(config), VersionMemory()
        self.told: list[list[VersionShare]] = []

    def take(self, panes: Iterable[tuple[int, Pane]]) -> list[tuple[int, str, str]]:
        """Step through panes, the memory written and read between them; return (pane, version, change) of changes."""
        found = []
        for pane, requests in panes:
            self.memory = VersionMemory.decode(self.memory.encode())
            self.told.append(self.fold.advance(self.memory, counted(pane, requests), 20.0))
            found += [(pane, one.version, one.change) for one in self.told[-1] if one.change is not None]
        return found


def steady(panes: range, requests: Pane) -> list[tuple[int, Pane]]:
    """Return panes that are all alike."""
    return [(pane, requests) for pane in panes]


def test_a_version_that_appears_beside_a_known_one_is_a_deploy_once() -> None:
    """However long both run, and whichever is left."""
    rollout = [
        *steady(range(20), {"1": 20}),
        *steady(range(20, 30), {"1": 10, "2": 10}),
        *steady(range(30, 60), {"2": 20}),
    ]
    assert Seen().take(rollout) == [(20, "2", "deploy")]


def test_what_runs_when_a_service_is_first_heard_of_is_no_change() -> None:
    """Also where two versions run for good, and the second has its first request a little later."""
    assert Seen().take([*steady(range(5), {"1": 20}), *steady(range(5, 50), {"1": 20, "2": 1})]) == []


def test_a_version_that_comes_back_is_a_rollback() -> None:
    """It was away for minutes, while another took its requests."""
    panes = [*steady(range(20), {"1": 20}), *steady(range(20, 40), {"2": 20}), *steady(range(40, 50), {"1": 20})]
    assert Seen().take(panes) == [(20, "2", "deploy"), (40, "1", "rollback")]


def test_a_version_with_few_requests_does_not_come_back_with_each_of_them() -> None:
    """A canary that takes one request in two minutes is there all the time."""
    panes = [(pane, {"1": 20} | ({"2": 3} if pane % 12 == 0 else {})) for pane in range(20, 400)]
    assert Seen().take([*steady(range(20), {"1": 20}), *panes]) == [(24, "2", "deploy")]


def test_a_version_that_was_away_for_less_than_a_minute_was_not_away() -> None:
    """While requests are drained from one to the other, each has panes without any."""
    shift = [(pane, {"1": 20} if pane % 5 < 2 else {"2": 20}) for pane in range(20, 60)]
    assert Seen().take([*steady(range(20), {"1": 20}), *shift]) == [(22, "2", "deploy")]


def test_a_silence_of_the_whole_service_is_no_change() -> None:
    """Nobody else took the requests."""
    assert Seen().take([*steady(range(20), {"1": 20}), *steady(range(2_000, 2_020), {"1": 20})]) == []


def test_a_stray_request_is_no_deploy() -> None:
    """Somebody's laptop; a third pane with requests is."""
    stray = [(30, {"1": 20, "dev": 1}), (31, {"1": 20, "dev": 2})]
    seen = Seen()
    assert seen.take([*steady(range(30), {"1": 20}), *stray]) == []
    assert seen.take([(32, {"1": 20, "dev": 1})]) == [(32, "dev", "deploy")]


def test_a_pane_stepped_again_says_the_same_again() -> None:
    """After a crash, or as a revision: the same change with the same id, and no other one."""
    seen = Seen()
    seen.take([*steady(range(20), {"1": 20}), (20, {"1": 20, "2": 10})])
    assert seen.take([(20, {"1": 20, "2": 10}), (21, {"2": 30}), (20, {"1": 20, "2": 11})]) == [
        (20, "2", "deploy"), (20, "2", "deploy"),
    ]  # fmt: skip
    first, again = (
        list(changes_seen(deviations("cart", 20).model_copy(update={"versions": told})))
        for told in (seen.told[20], seen.told[-1])
    )
    assert first == again
    assert [(d.service, d.version, d.kind, d.at_ns, d.source) for d in first] == [
        ("cart", "2", "deploy", pane_start(20), "telemetry")
    ]


def test_versions_are_told_while_there_are_several_with_what_was_slow() -> None:
    """A service of one version says nothing of it."""
    seen = Seen()
    seen.take(steady(range(20), {"1": 20}))
    assert not any(seen.told)
    told = seen.fold.advance(seen.memory, counted(20, {"1": 15, "2": 5}, slow={"2": 4}), 20.0)
    assert [(one.version, one.requests, one.slow) for one in told] == [("1", 15, 0), ("2", 5, 4)]
    assert {one.version: one.first_seen_ns for one in told} == {"1": pane_start(0), "2": pane_start(20)}
    assert [
        one.slow for one in seen.fold.advance(seen.memory, counted(21, {"1": 15, "2": 5}, slow={"2": 4}), None)
    ] == [0, 0]


def test_what_is_remembered_is_bounded() -> None:
    """A version for each build that never ends: no more rows, no more changes; after an hour there is room again."""
    config = VersionConfig(most=4, lately_s=600)
    seen = Seen(config)
    found = seen.take([*steady(range(20), {"1": 20}), *((pane, {"1": 20, f"b{pane}": 5}) for pane in range(20, 60))])
    assert len(seen.memory.rows) == config.most
    assert [version for _, version, _ in found] == ["b20", "b21", "b22"]
    assert [version for _, version, _ in seen.take([(200, {"1": 20, "c": 5})])] == ["c"]


def span(number: int, version: str, kind: int = SERVER, error: bool = False) -> MadeSpan:
    """Return a span of 10 ms of service cart."""
    return MadeSpan("cart", "GET /", kind, number, 1, 0, START_NS, START_NS + 10 * MS_NS, error=error, version=version)


@pytest.mark.parametrize(("most", "lost"), [(10, []), (1, [(LossReason.VERSION_OVERFLOW, 3)])])
def test_entry_spans_are_counted_by_version_and_travel(most: int, lost: list[tuple[LossReason, int]]) -> None:
    """Beyond the cap together, which has a name; other spans and those without a version are not counted."""
    fold = PaneFold("otel.traces/0", WindowConfig(max_versions=most))
    spans = [
        span(1, "1"),
        span(2, "1", error=True),
        *(span(n, "2") for n in (3, 4, 5)),
        span(6, ""),
        span(7, "1", CLIENT),
    ]
    fold.step_spans("acme", decode_spans(traces_payload(spans)), START_NS + 10 * SECOND_NS, 0)
    partial = ServicePartial.decode(fold.flush()[0].encode())
    twice = merge_contents([partial.contents, partial.contents]).versions
    second = OVERFLOW_VERSION if most == 1 else "2"
    assert {name: (tally.requests, tally.errors) for name, tally in twice.items()} == {"1": (4, 2), second: (6, 0)}
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == lost
