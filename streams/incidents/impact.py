"""What one pane adds to the impact of an incident: by traces where they are known, else by requests (ADR 48)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.deviations import INSTANCE_KINDS, SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind, Passage
from streams.incidents.crowd import Crowd, those_who_met
from streams.incidents.graph import LiveGraph
from streams.incidents.habits import Habits, Usual, entry_counts
from streams.incidents.hits import Hits, Tally
from streams.incidents.operations import is_uncalled, is_wait
from streams.incidents.triggers import Alarm
from streams.people import PeopleSample
from streams.slo import LATENCY

_LEAST_SHARE = 0.02
"""Doors at which less of all traces come in are strays: traces whose first spans were lost."""
_STOPPED = ""
"""The cause under which stops of doors are counted: nobody came by two of them."""
_FAILURES = (SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE)
_SLOWNESS = (SeriesKind.P95, SeriesKind.SELF_TIME, SeriesKind.GAP, SeriesKind.EDGE_LATENCY)


@dataclass(slots=True)
class Symptoms:
    """What is wrong with a cause in a pane, as far as it matters to who is hit."""

    fails: float = 0.0
    """By how much its share of failed requests has risen, 0 to 1; or the share that goes to failing instances."""
    logs: float = 0.0
    """By how much its error lines a request have risen, 0 to 1; 0 where failing instances write them."""
    is_slow: bool = False
    slow_share: float = 0.0
    """Share of its requests that go to slow instances, or to operations that wait or are no longer called."""
    instance_share: float = 0.0
    """Share of its requests that go to bad instances, or to operations that wait or are no longer called."""
    cut_off: tuple[str, ...] = ()
    """Clients whose calls to it fail: they may fail on the way."""
    stopped_rate: float = 0.0
    """Requests a second that it had and has no more."""

    @staticmethod
    def of(alarm: Alarm, requests: int) -> Symptoms:
        """Read an alarm of a service that has so many requests in the pane."""
        every = [*alarm.own, *alarm.symptoms]
        failures = [s for s in every if s.kind in _FAILURES or (s.kind is SeriesKind.BURN_RATE and s.name != LATENCY)]
        slow = [s for s in every if s.kind in _SLOWNESS or (s.kind is SeriesKind.BURN_RATE and s.name == LATENCY)]
        waits, slow = [s for s in slow if is_wait(s)], [s for s in slow if not is_wait(s)]
        at = [{s.instance: s.requests for s in every if s.kind is kind} for kind in INSTANCE_KINDS]
        slow_share, failing_share, share = (_share(one, requests) for one in (*at, at[0] | at[1]))
        missing = sum(s.requests for s in alarm.own if is_uncalled(s))
        of_operations = max(sum(s.requests for s in waits), missing) / max(requests + missing, 1)
        slow_share = min(1.0, max(slow_share, of_operations))
        rises = [1.0 if s.kind is SeriesKind.BURN_RATE else _rise(s) for s in failures if s.operation is None]
        rises.append(sum(_rise(s) * s.requests for s in failures if s.operation is not None) / max(requests, 1))
        logs = max((_rise(s) for s in every if s.kind is SeriesKind.LOG_ERRORS), default=0.0)
        return Symptoms(
            fails=failing_share or min(1.0, max(rises)), logs=0.0 if failing_share else logs, is_slow=bool(slow),
            slow_share=slow_share, instance_share=max(share, slow_share),
            cut_off=tuple(sorted({s.edge_client for s in failures if s.edge_client is not None})),
            stopped_rate=max(
                (s.median for s in alarm.own if s.kind is SeriesKind.REQUEST_RATE and not is_uncalled(s)), default=0.0
            ),
        )  # fmt: skip

    @property
    def worst(self) -> float:
        """Share of its requests that may be hit, when nothing but their number is known."""
        return 1.0 if self.is_slow else max(self.fails, self.logs, self.instance_share)


def _share(of_instances: Mapping[str | None, int], requests: int) -> float:
    return min(1.0, sum(of_instances.values()) / requests) if requests else 0.0


def _rise(series: SeriesScore) -> float:
    return min(1.0, max(0.0, series.value - series.median))


@dataclass(frozen=True, slots=True)
class Sight:
    """A pane, and what is known of who calls whom and of what is usual."""

    pane: Mapping[str, ServiceDeviations]
    graph: LiveGraph
    habits: Habits
    pane_s: int

    def hits(self, causes: Mapping[str, Alarm]) -> Hits:
        """Return who came in this pane, and who is hit by causes that deviate in it."""
        doors = self._doors()
        found, reaching = Hits(float(sum(doors.values()))), set[str]()
        for name, alarm in causes.items():
            symptoms = Symptoms.of(alarm, self.pane[name].requests)
            reaching |= self._reaching(name, symptoms, doors)
            tally = self._tally(name, symptoms, doors, of_users=True)
            if tally.through:
                found.users[name] = tally
            elif symptoms.stopped_rate:
                self._add_stop(name, symptoms.stopped_rate * self.pane_s, doors, found)
            else:
                found.work[name] = self._tally(name, symptoms, doors, of_users=False)
        found.failed = sum(self._failures_at(door)[0] for door in reaching)
        found.crowd = self._crowd(causes, doors)
        return found

    def _crowd(self, causes: Mapping[str, Alarm], doors: Mapping[str, int]) -> Crowd:
        """Return who came in by the doors, and who of them met with what is wrong at a cause."""
        crowd = Crowd()
        for door in doors:
            for passage in self.pane[door].passages:
                if passage.entry == door and passage.people:
                    crowd = crowd.plus(Crowd(PeopleSample.read(passage.people)))
        if not crowd.came:
            return crowd
        for name, alarm in causes.items():
            symptoms = Symptoms.of(alarm, self.pane[name].requests)
            for entry, ways in self._passages(name, symptoms).items():
                for node, passage in ways if entry in doors else ():
                    crowd = crowd.plus(Crowd(met=self._met(node, passage, symptoms, is_cause=node == name)))
        return crowd

    def _met(self, node: str, passage: Passage, symptoms: Symptoms, *, is_cause: bool) -> PeopleSample:
        """Return the people of whose traces some failed at a node, or took long, as far as its symptoms are of that."""
        usual = self.habits.of(node, passage.entry)
        later = None if not symptoms.is_slow or not is_cause else usual.beyond(0.5)[0] if usual else -1
        return those_who_met(PeopleSample.read(passage.people), bool(symptoms.fails or symptoms.logs), later)

    def _doors(self) -> dict[str, int]:
        """Return how many requests came in by each door: at services that clients without telemetry call.

        Where hardly any traces begin at such services the clients do send telemetry: then wherever traces begin, but at
        services that queues alone call.
        """
        begun = self.habits.begun()
        for name, one in self.pane.items():
            begun[name] = begun.get(name, 0) + (entry_counts(one)[0] if one.passages else 0)
        doors = {name for name in self.graph.entries if name in self.pane}
        if sum(begun.get(name, 0) for name in doors) < _LEAST_SHARE * sum(begun.values()):
            doors = {name for name in begun if name in self.pane and not _is_fed(self.pane[name])}
        return {name: entry_counts(self.pane[name])[0] for name in sorted(doors)}

    def _passages(self, name: str, symptoms: Symptoms) -> dict[str, list[tuple[str, Passage]]]:
        """Return by entry the traces of a node, and those of clients that may have failed on their way to it."""
        nodes = [name, *(client for client in symptoms.cut_off if client in self.pane)]
        found: dict[str, list[tuple[str, Passage]]] = {}
        for node in nodes:
            for passage in self.pane[node].passages:
                found.setdefault(passage.entry, []).append((node, passage))
        return found

    def _reaching(self, name: str, symptoms: Symptoms, doors: Mapping[str, int]) -> set[str]:
        """Return the doors whose requests reach a node: as traces tell, else as the graph does."""
        passages = self._passages(name, symptoms)
        if passages:
            return passages.keys() & doors.keys()
        return {door for door in doors if door == name or name in self.graph.reached_from(door)}

    def _tally(self, name: str, symptoms: Symptoms, doors: Mapping[str, int], *, of_users: bool) -> Tally:
        """Count the traces that came in by a door, or all others."""
        passages = self._passages(name, symptoms)
        if not passages:
            return self._by_requests(name, symptoms, doors, of_users=of_users)
        tally = Tally()
        for entry, ways in passages.items():
            if (entry in doors) is of_users:
                tally = tally.plus(self._by_traces(name, symptoms, ways))
        return tally

    def _by_traces(self, name: str, symptoms: Symptoms, ways: list[tuple[str, Passage]]) -> Tally:
        """Count the traces of one entry that pass through a node, and those that fail where a client calls it."""
        tallies = [self._passing(one, passage, symptoms) for one, passage in ways if one == name]
        tally = tallies[0] if tallies else Tally()
        if not symptoms.fails and not symptoms.logs:
            return tally
        failures = [self._failing(one, passage, is_cause=one == name) for one, passage in ways]
        more, scatter = max(failures)
        seen = max(float(passage.failing) for _, passage in ways)
        return tally._replace(
            through=max(tally.through, seen), failing=more, failing_scatter=scatter, failing_seen=seen
        )  # fmt: skip

    def _failing(self, node: str, passage: Passage, *, is_cause: bool) -> tuple[float, float]:
        """Return how many more traces fail than usual, and the variance of that: of a client those that fail there."""
        usual = self.habits.of(node, passage.entry)
        if not is_cause:
            return beyond_share(passage.origins, passage.traces, usual.origins / usual.traces if usual else 0.0)
        share = usual.failing / usual.traces if usual else self._error_rate(node)
        return beyond_share(passage.failing, passage.traces, share)

    def _passing(self, name: str, passage: Passage, symptoms: Symptoms) -> Tally:
        usual = self.habits.of(name, passage.entry)
        slow = passage.traces * (symptoms.slow_share if usual or not symptoms.is_slow else 1.0)
        tally = Tally(passage.traces, slow, slow, passage.traces * symptoms.logs)
        if not symptoms.is_slow or usual is None:
            return tally._replace(longer_seen=float(passage.traces) if symptoms.is_slow else 0.0)
        place = usual.beyond(0.5)[0]
        tally = tally._replace(longer_seen=float(sum(n for later, n in passage.durations.items() if later > place)))
        longer, latest = (slowed(usual, passage, quantile) for quantile in (0.5, 0.95))
        return tally._replace(longer=longer[0], longer_scatter=longer[1], latest=latest[0], latest_scatter=latest[1])

    def _by_requests(self, name: str, symptoms: Symptoms, doors: Mapping[str, int], *, of_users: bool) -> Tally:
        """Count requests, where no trace tells anything: no more than came in by doors from where it is reached."""
        reaching = self._reaching(name, symptoms, doors)
        if bool(reaching) is not of_users:
            return Tally()
        requests = float(self.pane[name].requests)
        through = min(requests, sum(doors[door] for door in reaching)) if of_users else requests
        failures = [self._failures_at(door) for door in sorted(reaching)]
        failing, scatter = (sum(each) for each in zip((0.0, 0.0), *failures, strict=True))
        slow = through * (1.0 if symptoms.is_slow else symptoms.slow_share)
        return Tally(through, through * symptoms.worst, slow, failing=failing, failing_scatter=scatter)

    def _failures_at(self, door: str) -> tuple[float, float]:
        """Return how many requests more than usual failed at a door, and the variance of that."""
        requests, errors = entry_counts(self.pane[door])
        usual = self.habits.of(door, door)
        share = usual.errors / usual.traces if usual else self._error_rate(door)
        return beyond_share(errors, requests, share)

    def _error_rate(self, service: str) -> float:
        return usual_error_rate(self.pane[service])

    def _add_stop(self, name: str, expected: float, doors: Mapping[str, int], found: Hits) -> None:
        """Count the requests that did not come, as hit."""
        if name in self.graph.entries:
            found.missing += expected
            found.users[_STOPPED] = found.users.get(_STOPPED, Tally()).plus(Tally(expected, expected))
            return
        missing = self._missing(name, expected, doors)
        (found.users if missing else found.work)[name] = Tally(missing or expected, missing or expected)

    def _missing(self, name: str, expected: float, doors: Mapping[str, int]) -> float:
        """Return how many of the requests that came in would have reached a node; `expected` is all it had."""
        usual = {door: (self.habits.of(name, door), self.habits.of(door, door)) for door in doors}
        shares = {door: node.traces / all_.traces for door, (node, all_) in usual.items() if node and all_}
        if shares:
            return sum(min(1.0, share) * doors[door] for door, share in shares.items())
        return min(expected, sum(doors[door] for door in self._reaching(name, Symptoms(), doors)))


def usual_error_rate(one: ServiceDeviations) -> float:
    """Return the usual share of failed requests that the service's own baseline has; 0 without one."""
    series = (s for s in one.series if s.kind is SeriesKind.ERROR_RATE and s.operation is None)
    return next((min(1.0, s.median) for s in series), 0.0)


def _is_fed(one: ServiceDeviations) -> bool:
    """Tell whether queues call a service, and nobody else does."""
    return bool(one.edges_in) and all(edge.client_kind is NodeKind.MESSAGING for edge in one.edges_in)


def beyond_share(seen: int, traces: int, usual_share: float) -> tuple[float, float]:
    """Return how many more of these traces are seen than usual, and the variance of that."""
    return seen - usual_share * traces, usual_share * (1.0 - usual_share) * traces


def slowed(usual: Usual, passage: Passage, quantile: float) -> tuple[float, float]:
    """Return how many traces were slowed down past a usual quantile, and the variance of that.

    Those beyond it that were not to be expected there, and as many of the ones that would have been beyond it anyway.
    """
    place, share = usual.beyond(quantile)
    seen = sum(number for later, number in passage.durations.items() if later > place)
    return (seen - share * passage.traces) / (1.0 - share), share * passage.traces / (1.0 - share)
