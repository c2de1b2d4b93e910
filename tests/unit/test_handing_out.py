"""The order in which several test processes get their tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from handing_out import COMPUTING, TIMED, Groups, group_of, turn_of

DEMO = ["tests/e2e/test_demo.py::test_a_fault", "tests/e2e/test_demo.py::test_a_refusal"]
UNITS = [f"tests/unit/test_words.py::test_{number}" for number in range(4)]
RECORDED = ["tests/e2e/test_recorded_outages.py::test_all"]
REPLAYED = ["tests/e2e/test_replayed_recording.py::test_one"]
KILLS = [f"tests/faults/test_kills.py::test_{number}" for number in range(3)]
SUITE = sorted(DEMO + RECORDED + REPLAYED + KILLS + UNITS, key=lambda test: turn_of(group_of(test)))


@dataclass(eq=False)
class Process:
    """A test process, as the scheduler sees it: it is sent the places of tests in the suite."""

    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="popen"))
    given: list[str] = field(default_factory=list)
    shutting_down: bool = False

    def send_runtest_some(self, places: list[int]) -> None:
        """Get tests to run after those it has."""
        self.given += [SUITE[place] for place in places]

    def shutdown(self) -> None:
        """Hear that there will be no more."""
        self.shutting_down = True


def begun() -> tuple[Groups, list[Process]]:
    """Have three processes share the suite."""
    options: Any = SimpleNamespace(loadscopereorder=False, tx=["3*popen"], numprocesses=3, maxprocesses=None)
    config: Any = SimpleNamespace(option=options, getvalue=lambda name: getattr(options, name))
    groups, processes = Groups(config, None), [Process() for _ in range(3)]
    for process in processes:
        groups.add_node(process)  # type: ignore[arg-type]
        groups.add_node_collection(process, SUITE)  # type: ignore[arg-type]
    groups.schedule()
    return groups, processes


def test_groups_are_by_what_a_test_needs() -> None:
    """What only computes is told from what needs services, and the recordings from the rest."""
    assert {group_of(test) for test in DEMO} == {TIMED}
    assert {group_of(test) for test in UNITS} == {COMPUTING}
    assert group_of("tests/integration/differential/test_counts.py::test_all") == group_of(RECORDED[0])
    assert group_of(KILLS[0]) == "faults"
    assert group_of("tests/integration/test_cli.py::test_help") == "integration/test_cli.py"


def test_what_takes_long_begins_early() -> None:
    """The demo and what computes first, then long groups, then short ones."""
    begins = [turn_of(group_of(test)) for test in (DEMO[0], UNITS[0], RECORDED[0], KILLS[0], REPLAYED[0])]
    assert begins == [0, 0, 0, 1, 2]


def test_services_start_when_the_demo_is_done() -> None:
    """Until then there is only what computes, and a process that has run out of it waits."""
    groups, (first, second, third) = begun()
    assert (first.given, second.given, third.given) == (DEMO, RECORDED, UNITS)
    for test in UNITS[:3]:
        groups.mark_test_complete(third, SUITE.index(test))
    assert third.given == UNITS, "the last one begins when there is more, or nothing more"
    groups.mark_test_complete(first, SUITE.index(DEMO[0]))
    assert sorted(first.given + second.given + third.given) == sorted(SUITE)


def test_everything_is_handed_out_in_the_end() -> None:
    """A demo that has ended holds nothing back, and every process is told that there is no more."""
    groups, processes = begun()
    done: set[str] = set()
    while len(done) < len(SUITE):
        for process in processes:
            for test in [test for test in process.given if test not in done][:1]:
                done.add(test)
                groups.mark_test_complete(process, SUITE.index(test))
    assert all(process.shutting_down for process in processes)
