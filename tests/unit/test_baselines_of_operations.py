"""Failures of single operations: rare ones that break are told, what is hardly known or fails by habit is not."""

from __future__ import annotations

from collections.abc import Mapping

import msgpack
import numpy as np

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import OperationHealth
from schemas.losses import LossReason
from streams.baselines import BaselineConfig, BaselineFold, BaselineState
from streams.windows import Loss
from tests.made_health import PANE_NS, edge, health, red

CALM = 130
"""Panes: more than the trailing ones."""


class Service:
    """A service with some operations, judged pane by pane; failures of some are by chance."""

    def __init__(self, config: BaselineConfig | None = None) -> None:
        self.fold, self._memory, self._pane = BaselineFold(config), BaselineState(), -1
        self._chance = np.random.default_rng(7)

    def see(self, operations: Mapping[str, tuple[int, float]], revision: int = 0) -> dict[str, SeriesScore]:
        """Take a pane of (requests, chance of failing) by operation; return the series of operations' failures."""
        self._pane += revision == 0
        failed = {name: int(self._chance.binomial(n, chance)) for name, (n, chance) in operations.items()}
        listed = [
            OperationHealth(operation=name, kind="server", pane=red(n, errors=failed[name]), window=red(6 * n + 1))
            for name, (n, _) in operations.items()
        ]
        total = sum(n for n, _ in operations.values())
        picture = health("cart", self._pane, total, errors=sum(failed.values()), revision=revision)
        told, _ = self.fold.advance(self._memory, picture.model_copy(update={"operations": listed}))
        errors = [one for one in (told.series if told else []) if one.kind is SeriesKind.ERROR_RATE]
        self.service = next((one for one in errors if one.operation is None), None)
        return {one.operation: one for one in errors if one.operation is not None}

    def memory_knows(self, operation: str, since_ns: int | None) -> bool:
        """Tell whether an operation is known, since an instant where that is given."""
        began_ns = self._memory.newcomers.began_ns(operation)
        return began_ns is not None and since_ns in (None, began_ns)

    def panes_to_alarm(self, operation: str, most: int, operations: Mapping[str, tuple[int, float]]) -> int | None:
        """Return how many such panes it takes until the failures of an operation are an alarm."""
        for pane in range(1, most + 1):
            found = self.see(operations).get(operation)
            if found is not None and found.deviating:
                return pane
        return None


def calm(operations: Mapping[str, tuple[int, float]], panes: int = CALM) -> Service:
    """Return a service that has been so for a while, without an alarm."""
    service = Service()
    assert all(service.panes_to_alarm(name, panes // len(operations), operations) is None for name in operations)
    return service


def test_one_request_in_two_hundred_that_always_fails_is_an_alarm_of_its_operation() -> None:
    """Of the service it is one in two hundred, which is no rise that is tried."""
    service = calm({"GET /": (199, 0.0), "POST /pay": (1, 0.0)})
    assert service.panes_to_alarm("POST /pay", 60, {"GET /": (199, 0.0), "POST /pay": (1, 1.0)}) == 7
    assert service.service is not None
    assert not service.service.deviating


def test_an_operation_breaks_beside_others_that_fail_by_habit() -> None:
    """The service fails fifteen requests in a hundred, where it was ten."""
    service = calm({"GET /": (190, 0.1), "POST /pay": (10, 0.0)})
    assert service.panes_to_alarm("POST /pay", 60, {"GET /": (190, 0.1), "POST /pay": (10, 1.0)}) == 3
    assert service.service is not None
    assert not service.service.deviating


def test_an_operation_of_a_request_in_hundred_seconds_is_judged_to_the_end() -> None:
    """Twelve of its requests are known when it begins to fail, and fewer while it goes on."""
    service = Service()
    for pane in range(CALM):
        service.see({"GET /": (50, 0.0), "POST /pay": (1 if pane % 10 == 9 else 0, 0.0)})
    alarms = []
    for pane in range(120):
        told = service.see({"GET /": (50, 0.0), "POST /pay": (1 if pane % 10 == 9 else 0, 1.0)})
        alarms += [pane for one in told.values() if one.deviating]
    assert alarms[0] <= 80


def test_a_new_operation_that_fails_from_its_first_request_on_is_told_after_a_minute() -> None:
    """Of a service whose operations are known: none of them has failed like that."""
    service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
    assert service.panes_to_alarm("POST /new", 60, {"GET /": (100, 0.0), "POST /new": (40, 1.0)}) == 6
    assert service.see({"GET /": (100, 0.0), "POST /new": (40, 1.0)})["POST /new"].newcomer


def test_a_new_operation_that_fails_by_half_is_told() -> None:
    """Also one that has few requests."""
    service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
    panes = service.panes_to_alarm("POST /new", 60, {"GET /": (100, 0.0), "POST /new": (4, 0.5)})
    assert panes is not None
    assert panes <= 16


def test_an_operation_that_fails_while_its_service_is_learned_does_so_by_habit() -> None:
    """Nothing says that it ever worked, and many rare ones never do."""
    service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)}, panes=40)
    assert service.panes_to_alarm("GET /favicon", 360, {"GET /": (100, 0.0), "GET /favicon": (2, 1.0)}) is None


def test_an_operation_that_comes_back_is_not_new() -> None:
    """What it did then is not known any more; it may always have failed."""
    service = calm({"GET /": (50, 0.0), "GET /gone": (1, 1.0)}, panes=4)
    for _ in range(300):
        service.see({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
    assert service.panes_to_alarm("GET /gone", 60, {"GET /": (100, 0.0), "GET /gone": (2, 1.0)}) is None


def test_the_retries_of_one_user_at_a_new_operation_are_no_alarm() -> None:
    """For half a minute."""
    service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
    assert service.panes_to_alarm("POST /new", 5, {"GET /": (100, 0.0), "POST /new": (8, 1.0)}) is None


def test_a_state_knows_who_is_new_and_one_of_before_calls_nobody_so() -> None:
    """A worker that is started again, or anew, does not find all it knows new."""
    new = {"GET /": (100, 0.0), "GET /list": (9, 0.0), "POST /new": (40, 1.0)}
    for keeps in (True, False):
        service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
        service.see(new)
        body = msgpack.unpackb(service._memory.encode(), strict_map_key=False)
        if not keeps:
            del body["o"]
        service._memory = BaselineState.decode(msgpack.packb(body))
        assert service.see(new)["POST /new"].newcomer is keeps
        assert service.memory_knows("GET /list", 0 if not keeps else None)


def test_where_names_come_without_end_none_is_new() -> None:
    """They may be names of single requests."""
    service = calm({f"GET /{number}": (1, 0.0) for number in range(70)}, panes=140)
    assert service.panes_to_alarm("POST /new", 60, {"GET /": (100, 0.0), "POST /new": (40, 1.0)}) is None


def test_a_few_good_requests_of_an_operation_are_too_few_to_know_it() -> None:
    """After twelve its failures are an alarm at once."""

    def alarms(good: int) -> bool:
        service = calm({"GET /": (50, 0.0), "GET /list": (50, 0.0)})
        service.panes_to_alarm("POST /new", good, {"GET /": (100, 0.0), "POST /new": (1, 0.0)})
        return service.panes_to_alarm("POST /new", 10, {"GET /": (100, 0.0), "POST /new": (1, 1.0)}) is not None

    assert not alarms(5)
    assert alarms(12)


def test_a_rare_operation_that_always_fails_does_so_by_habit() -> None:
    """Once a minute: twenty requests are all that is known of it."""
    service = Service()
    for pane in range(1500):
        told = service.see({"GET /": (50, 0.0), "GET /gone": (1 if pane % 6 == 5 else 0, 1.0)})
        assert not any(one.deviating for one in told.values()), pane


def test_the_retries_of_one_user_are_no_alarm() -> None:
    """For twenty seconds they are all that a rare operation is asked."""
    service = calm({"GET /": (50, 0.0), "POST /import": (1, 0.0)})
    assert service.panes_to_alarm("POST /import", 2, {"GET /": (50, 0.0), "POST /import": (8, 1.0)}) is None
    assert service.panes_to_alarm("POST /import", 60, {"GET /": (50, 0.0), "POST /import": (1, 0.0)}) is None


def test_what_a_service_does_by_habit_is_believed_of_its_operations() -> None:
    """Thirteen good requests are luck where a third fails; where nothing ever does they are something."""

    def evidence(habit: float) -> float:
        service = calm({"GET /": (20, habit), "GET /list": (20, habit)}, panes=1000)
        for _ in range(13):
            service.see({"GET /": (40, habit), "GET /new": (1, 0.0)})
        told = [service.see({"GET /": (40, habit), "GET /new": (2, 1.0)}) for _ in range(3)]
        return told[-1]["GET /new"].evidence

    assert evidence(0.3) < 0.8 * evidence(0.0)


def test_nothing_is_told_of_operations_without_a_failure_or_evidence() -> None:
    """There are many of them, and pictures of deviations travel with every pane."""
    service = calm({"GET /": (50, 0.0), "POST /pay": (10, 0.0)})
    assert service.see({"GET /": (50, 0.0), "POST /pay": (10, 0.0)}) == {}
    assert set(service.see({"GET /": (50, 0.0), "POST /pay": (10, 1.0)})) == {"POST /pay"}
    told = [service.see({"GET /": (50, 0.0), "POST /pay": (10, 0.0)}) for _ in range(40)]
    assert set(told[0]) == {"POST /pay"}, "there is evidence left"
    assert told[-1] == {}


def test_an_episode_of_an_operation_begins_after_the_last_one_has_ended() -> None:
    """Hundreds of requests without a failure refute ten failures."""
    good, bad = {"GET /": (50, 0.0), "POST /pay": (200, 0.0)}, {"GET /": (50, 0.0), "POST /pay": (10, 1.0)}
    service = calm(good)
    told = [service.see(pane).get("POST /pay") for pane in (bad, *[good] * 6, bad)]
    assert told[0] is not None
    assert told[7] is not None
    assert told[7].since_ns == (told[0].since_ns or 0) + 7 * PANE_NS


def test_the_failures_of_an_only_operation_are_those_of_the_service() -> None:
    """They are told once."""
    service = calm({"GET /": (50, 0.0)})
    assert all(service.see({"GET /": (50, 1.0)}) == {} for _ in range(5))
    assert service.service is not None
    assert service.service.deviating


def test_an_alarm_that_is_over_is_one_no_more() -> None:
    """And can be one again."""
    good, bad = {"GET /": (50, 0.0), "POST /pay": (5, 0.0)}, {"GET /": (50, 0.0), "POST /pay": (5, 1.0)}
    service = calm(good)
    for _ in range(2):
        assert service.panes_to_alarm("POST /pay", 10, bad) is not None
        assert not any(one.deviating for one in [service.see(good) for _ in range(30)][-1].values())


def test_operations_and_callers_that_are_not_followed_are_a_loss_by_name() -> None:
    """Counted when the pane is judged for the first time; a revision is no other pane."""
    fold, memory = BaselineFold(BaselineConfig(max_operations=2, max_edges=1)), BaselineState()
    listed = [
        OperationHealth(operation=f"GET /{n}", kind=kind, pane=red(n), window=red(6 * n))
        for n, kind in ((9, "server"), (8, "server"), (4, "consumer"), (2, "server"), (7, "client"))
    ]
    for revision in (0, 1):
        picture = health("cart", 0, 23 + revision, edges=[edge("a", 5), edge("b", 3)], revision=revision)
        fold.advance(memory, picture.model_copy(update={"operations": listed}))
        expected = [Loss("acme", LossReason.UNFOLLOWED, 4 + 2 + 3)] if revision == 0 else []
        assert fold.drain_losses() == expected
