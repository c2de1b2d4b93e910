"""One bad replica of many, and quiet days of fleets: when does an incident open, does it name who, is calm calm?

Run it with ``python -m tests.bench.simulate_fleet found`` (the tables of docs/adr/0041 and 0044, some minutes),
``calm`` (a day of each fleet), or ``cost`` (CPU and bytes of a pane).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from schemas.health import ServiceHealth
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from tests.made_fleet import Fleet, Instance
from tests.made_health import PANE_NS, edge, health, pane_start
from tests.quiet_day import QuietDay

REPLICAS, RATES, SEEDS = (4, 10, 20, 40, 50), (2, 10, 50), 6
FAULTS = {
    "300 ms": Instance("", more_ms=300.0),
    "2 s": Instance("", more_ms=2000.0),
    "fails": Instance("", fails=1.0),
    "half fail": Instance("", fails=0.5),
}
CALM, LONGEST = 90, 60
DAY = 8640


@dataclass
class Watch:
    """Judges, incidents and rankings of one tenant."""

    fold: JudgeFold = field(default_factory=JudgeFold)
    memories: dict[str, JudgeMemory] = field(default_factory=dict)
    incidents: IncidentFold = field(default_factory=lambda: IncidentFold("acme"))
    picture: TenantPicture = field(default_factory=lambda: TenantPicture("acme"))

    def see(self, pane: int, pictures: list[ServiceHealth]) -> Iterator[tuple[str, str, str, str | None]]:
        """Yield (title, severity, first suspect, its instance) of each incident that opens."""
        memories = [self.memories.setdefault(each.service, JudgeMemory()) for each in pictures]
        judged = [self.fold.advance(memory, each) for memory, each in zip(memories, pictures, strict=True)]
        found = [one for one in judged if one is not None]
        for one in found:
            self.picture.step(one)
        for event in self.incidents.step_pane(pane_start(pane), found, pane_start(pane) + 3 * PANE_NS):
            if event.kind == "opened":
                ranked = rank(snapshot_of(self.picture, event, [], pane_start(pane + 1), 1)).hypotheses
                first = (ranked[0].service, ranked[0].instance) if ranked else ("", None)
                yield event.title, event.severity.value, *first


def found(case: tuple[int, int, str, int]) -> tuple[float | None, bool, str]:
    """Return seconds to the incident of one bad replica (None: missed), and whether it was named."""
    replicas, rate, fault, seed = case
    fleet, watch = Fleet([Instance(f"cart-{n}") for n in range(replicas)], np.random.default_rng(seed)), Watch()
    for pane in range(CALM + LONGEST):
        if pane == CALM:
            bad, what = fleet.instances[3], FAULTS[fault]
            bad.more_ms, bad.fails = what.more_ms, what.fails
        front = health("front", pane, rate * 10, edges=[edge("users", rate * 10, kind="client")])
        for title, severity, service, instance in watch.see(pane, [front, fleet.pane(pane, rate)]):
            named = (service, instance) == ("cart", "cart-3")
            return (pane - CALM + 1) * 10.0, named, f"{severity} {title}"
    return None, False, ""


def print_found(faults: list[str]) -> None:
    """Print the table, a line for each number of replicas and fault."""
    with ProcessPoolExecutor(1) as pool:
        for fault in faults:
            for replicas in REPLICAS:
                cells = []
                for rate in RATES:
                    each = list(pool.map(found, [(replicas, rate, fault, seed) for seed in range(SEEDS)]))
                    times = [at for at, _, _ in each if at is not None]
                    named = sum(named for _, named, _ in each)
                    median = f"{statistics.median(times):.0f} s" if times else "-"
                    cells.append(f"{median} ({len(times)} found, {named} named)")
                sys.stdout.write(f"1 of {replicas} {fault}: {' / '.join(cells)}  {each[-1][2]}\n")
                sys.stdout.flush()


def habits(replicas: int, release: int, chance: np.random.Generator) -> list[Instance]:
    """Return instances of a release: every fifth in a zone farther away, one much slower, the others a bit unlike.

    The far ones fail two in a hundred requests, the slow one four, the others fewer than one.
    """
    made = []
    for number in range(replicas):
        far = 60.0 if number % 5 == 4 else 0.0
        times = 2.0 if number == 1 and replicas > 4 else float(chance.uniform(0.85, 1.2))
        fails = 0.04 if times == 2.0 else 0.02 if far else float(chance.uniform(0.0, 0.01))
        made.append(Instance(f"r{release}-{number}", times, far, fails, share=float(chance.uniform(0.7, 1.3))))
    return made


def outage(pane: int) -> float:
    """Return the share of requests that the whole service fails: most for twenty seconds, some for ten minutes."""
    return 0.6 if pane % 2000 in (600, 601) else 0.2 if 1400 <= pane % 2000 < 1460 else 0.0


def calm(case: tuple[int, float, int]) -> list[str]:
    """Return the incidents of a quiet day of a fleet: rhythm, jumps of traffic, deploys, cold starts, failures."""
    replicas, rate, seed = case
    chance, watch, day = np.random.default_rng(seed), Watch(), QuietDay(seed=seed)
    fleet, release, jump = Fleet(habits(replicas, 0, chance), chance), 0, 1.0
    opened: list[str] = []
    born: dict[str, int] = {}
    usual: dict[str, Instance] = {one.name: replace(one) for one in fleet.instances}
    for pane in range(DAY):
        if pane % 1080 == 700:  # a rolling deploy every three hours, an instance a pane
            release += 1
            coming = habits(replicas, release, chance)
            usual |= {one.name: replace(one) for one in coming}
        if release and pane % 1080 >= 700 and pane % 1080 - 700 < replicas:
            place = pane % 1080 - 700
            fleet.instances[place] = coming[place]
            born[coming[place].name] = pane
        if pane % 1080 == 300:  # one instance is started again and comes under a new name
            lone = replace(usual[fleet.instances[0].name], name=f"again-{pane}")
            fleet.instances[0], born[lone.name], usual[lone.name] = lone, pane, replace(lone)
        for one in fleet.instances:
            cold = pane - born.get(one.name, -99) < 6
            one.times = usual[one.name].times * (8.0 if cold else 1.0)
            one.fails = 0.3 if cold else usual[one.name].fails
        if pane % 360 == 0:
            jump = float(chance.choice([1.0, 1.0, 4.0, 0.5]))
        load = day.load(pane) * jump
        fleet.times = 1.0 + 0.5 * day.load(pane)
        if pane % 2000 in (100, 101):  # the whole service is slow for twenty seconds
            fleet.times *= 4
        fleet.fails = outage(pane)
        if pane % 500 == 250:  # somebody's failing request is tried again and again, at one instance
            fleet.instances[-1].fails = 0.9
        pictures = [fleet.pane(pane, rate * load)]
        pictures.insert(0, health("front", pane, pictures[0].pane.requests, edges=[edge("users", 9, kind="client")]))
        opened += [f"pane {pane}: {title}" for title, *_ in watch.see(pane, pictures)]
    return opened


def print_calm() -> None:
    """Print the false incidents of quiet days."""
    cases = [
        (replicas, rate, seed) for replicas, rate in ((40, 20.0), (10, 10.0), (4, 10.0), (50, 4.0)) for seed in (1, 2)
    ]
    with ProcessPoolExecutor(1) as pool:
        for case, opened in zip(cases, pool.map(calm, cases), strict=True):
            of_one = [title for title in opened if "at instance" in title]
            sys.stdout.write(f"{case}: {len(opened)} incidents, {len(of_one)} of an instance {of_one}\n{opened}\n")
            sys.stdout.flush()


def print_cost() -> None:
    """Print milliseconds of CPU and bytes of state for a pane, as the stage has it: decoded, judged, encoded."""
    for replicas, rate in ((1, 50.0), (4, 50.0), (50, 50.0), (50, 500.0)):
        fleet = Fleet([Instance(f"cart-{n}") for n in range(replicas)], np.random.default_rng(1))
        fold, state = JudgeFold(), b""
        panes = [fleet.pane(number, rate).model_dump_json() for number in range(300)]
        took = []
        for raw in panes:
            start = time.process_time()
            state, told = fold.step(state or None, ServiceHealth.model_validate_json(raw))
            told.model_dump_json() if told is not None else ""
            took.append(time.process_time() - start)
        late = took[150:]
        sizes = (
            f"{len(state)} bytes of state, {len(panes[-1])} of a picture, {len(told.model_dump_json()) if told else 0}"
        )
        sys.stdout.write(f"{replicas} instances, {rate:.0f}/s: {1000 * statistics.median(late):.3f} ms; {sizes}\n")


if __name__ == "__main__":
    if sys.argv[1] == "found":
        print_found(sys.argv[2:] or list(FAULTS))
    elif sys.argv[1] == "calm":
        print_calm()
    else:
        print_cost()
