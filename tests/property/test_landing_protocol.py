"""The protocol of the raw sink against a model of ClickHouse's deduplication: no crash loses or doubles a row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from landing_model import MOMENTS, Flaws, Kind, Session, World

PARTITIONS = 3
STEPS = 50
EXAMPLES = int(os.environ.get("LANDING_EXAMPLES", "60"))
"""400 make the 20,000 steps of a long run."""

KINDS = st.sampled_from([Kind.GOOD, Kind.GOOD, Kind.FLAT, Kind.FLAT, Kind.POISON, Kind.BARREN])


class LandingMachine(RuleBasedStateMachine):
    """Workers come, take batches, die at any step, go on as zombies; the log grows; offsets are committed."""

    flaws = Flaws()

    def __init__(self) -> None:
        super().__init__()
        self.world = World(PARTITIONS, self.flaws)
        self.sessions: list[Session] = []
        self.current: list[Session] = []
        """Those of the present generation; the others are zombies."""

    # -- the world -----------------------------------------------------------------------------------------

    @rule(partition=st.integers(0, PARTITIONS - 1), kinds=st.lists(KINDS, min_size=1, max_size=5))
    def produce(self, partition: int, kinds: list[Kind]) -> None:
        """The log grows."""
        self.world.log[partition] += kinds

    @rule(owners=st.lists(st.integers(0, 1), min_size=PARTITIONS, max_size=PARTITIONS), data=st.data())
    def rebalance(self, owners: list[int], data: st.DataObject) -> None:
        """One or two workers share the partitions and begin at or below what is committed."""
        self.current = []
        for owner in sorted(set(owners)):
            floors = {
                partition: data.draw(st.integers(0, self.world.committed[partition]))
                for partition in range(PARTITIONS)
                if owners[partition] == owner
            }
            self.current.append(Session(self.world, floors))
        self.sessions += self.current

    @precondition(lambda self: any(session.landed for session in self.current))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """A worker of the present generation commits a floor."""
        session = data.draw(st.sampled_from([session for session in self.current if session.landed]))
        partition = data.draw(st.sampled_from(sorted(session.landed)))
        floor = data.draw(st.integers(0, session.landed[partition]))
        self.world.committed[partition] = max(self.world.committed[partition], floor)

    # -- the workers ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """A worker, zombies included, takes its next step."""
        self._go_on(data.draw(st.sampled_from(self.sessions)), data)

    @precondition(lambda self: self.current)
    @rule(data=st.data(), steps=st.integers(1, 12))
    def go_on_for_long(self, data: st.DataObject, steps: int) -> None:
        """A worker of the present generation takes several steps."""
        session = data.draw(st.sampled_from(self.current))
        for _ in range(steps):
            self._go_on(session, data)

    def _go_on(self, session: Session, data: st.DataObject) -> None:
        if session.over:
            return
        if session.owner is None:
            session.claim()
        elif session.steps is None:
            session.take({partition: data.draw(st.integers(0, 4)) for partition in session.positions})
        else:
            session.answer(session.perform())

    @precondition(lambda self: any(session.steps for session in self.sessions))
    @rule(data=st.data(), moments=st.integers(0, MOMENTS))
    def repeat(self, data: st.DataObject, moments: int) -> None:
        """The store does half of it, or all of it and the answer is lost; the worker tries again."""
        session = self._working(data)
        session.perform(moments=moments)
        session.answer(session.perform(again=True))

    @precondition(lambda self: any(session.steps for session in self.sessions))
    @rule(data=st.data(), moments=st.integers(0, MOMENTS), before=st.booleans())
    def die(self, data: st.DataObject, moments: int, before: bool) -> None:
        """A worker dies before its next step, in it or right after it."""
        session = self._working(data)
        if not before:
            session.perform(moments=moments)
        self.sessions.remove(session)
        self.current = [each for each in self.current if each is not session]

    def _working(self, data: st.DataObject) -> Session:
        return data.draw(st.sampled_from([session for session in self.sessions if session.steps]))

    # -- what must hold ------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_doubled_and_nothing_skipped(self) -> None:
        """At every moment."""
        self.world.check()

    def teardown(self) -> None:
        """Whatever has happened: one more worker brings everything to its end."""
        world = self.world
        session = Session(world, {partition: world.committed[partition] for partition in range(PARTITIONS)})
        session.claim()
        while session.steps is not None or any(session.positions[each] < len(world.log[each]) for each in range(3)):
            if session.steps is None:
                session.take(dict.fromkeys(range(PARTITIONS), 7))
            else:
                session.answer(session.perform())
        world.committed = [len(log) for log in world.log]
        world.check()


def run(flaws: Flaws, examples: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    """Run the machine with some guards missing."""
    machine: Any = type("Machine", (LandingMachine,), {"flaws": flaws})
    chosen = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        database=None,
        phases=phases,
    )
    run_state_machine_as_test(machine, settings=chosen)


def test_no_crash_loses_or_doubles_a_row() -> None:
    """Crashes at every step, replays from any floor, stale owners, refused rows, rebalances."""
    run(Flaws(), EXAMPLES)


@pytest.mark.parametrize("flaw", ["no_token", "no_pending", "no_skip", "no_fence", "no_reread", "no_check"])
def test_each_guard_is_needed(flaw: str) -> None:
    """Negative controls: with one of them missing, the machine finds rows that are lost or doubled."""
    with pytest.raises(AssertionError, match=r"stored twice|lost|no dead letter"):
        run(Flaws(**{flaw: True}), 2000, [Phase.generate])
