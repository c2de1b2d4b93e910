"""The switches of the shop's faults, and what they turn on inside one process."""

from __future__ import annotations

import random
from pathlib import Path

import httpx
import pytest

from deploy.shop import faults
from deploy.shop.faults import FAULTS, Release
from deploy.shop.load import Users, arrivals
from deploy.shop.misbehaving import MOST_KEPT, DiscountTableMissing, Leak, ServiceBroken, Trouble
from deploy.shop.names import NamedHosts
from deploy.shop.switch import USERS, Effect, FaultFile, FaultState
from deploy.shop.wiring import SERVICES


def test_two_faults_at_once_are_switched_apart(tmp_path: Path) -> None:
    """Each has its effect and target; switching one off leaves the other, and all off is an empty file."""
    file = FaultFile(tmp_path / "faults.json")
    assert file.read() == FaultState()
    file.switch(Effect.DELAY, "checkout>payments", 0.4)
    file.switch(Effect.ERRORS, "cart", 0.5)
    file.switch(Effect.ERRORS, "shipping", 0.02)
    assert file.read().of(Effect.DELAY, "checkout>payments") == 0.4
    file.switch(Effect.ERRORS, "cart", 0.0)
    assert (file.read().of(Effect.ERRORS, "cart"), file.read().of(Effect.ERRORS, "shipping")) == (0.0, 0.02)
    file.switch(Effect.DELAY, "checkout>payments", 0.0)
    file.switch(Effect.ERRORS, "shipping", 0.0)
    assert file.read() == FaultState()


def test_every_kind_of_fault_can_be_chosen_and_blames_something_that_is_there() -> None:
    """Names are those of the table in docs/demo.md."""
    nodes = {*SERVICES, faults.DATABASE_NODE, faults.CARD_NETWORK}
    assert len(FAULTS) == 12
    assert all(fault.service in nodes for fault in FAULTS.values())
    assert all(fault.effects or fault.releases or fault.locked_tables or fault.killed for fault in FAULTS.values())
    table = Path(__file__).parents[2].joinpath("docs", "demo.md").read_text()
    assert [name for name in FAULTS if f"| `{name}` |" not in table] == []


async def test_a_service_fails_the_share_its_release_or_the_switch_says() -> None:
    """The larger of the two counts; other services do not care."""

    async def failures(trouble: Trouble) -> int:
        count = 0
        for _ in range(1000):
            try:
                await trouble.suffer()
            except (DiscountTableMissing, ServiceBroken):
                count += 1
        return count

    state = FaultState().changed(Effect.ERRORS, "cart", 0.4)
    switched = Trouble("cart", random.Random(1))
    assert await failures(switched) == 0
    switched.follow(state)
    assert 300 < await failures(switched) < 500
    other = Trouble("payments", random.Random(1))
    other.follow(state)
    assert await failures(other) == 0
    assert 50 < await failures(Trouble("payments", random.Random(1), fail_share=0.1)) < 150


def test_a_leak_grows_with_each_request_up_to_its_limit_and_ends_with_the_fault() -> None:
    """A machine must survive it."""
    leak = Leak()
    for _ in range(3):
        leak.grow(1000)
    assert leak.size == 3000
    for _ in range(4):
        leak.grow(MOST_KEPT // 2)
    assert leak.size <= MOST_KEPT * 1.5
    leak.grow(0)
    assert leak.size == 0


def test_users_come_in_numbers_stay_away_or_come_as_usual() -> None:
    """What the switch says about users holds from the next arrival on."""
    users = Users(httpx.AsyncClient())
    users.follow(FaultState().changed(Effect.SPIKE, USERS, 5.0))
    assert (users.factor, users.stopped) == (5.0, False)
    users.follow(FaultState().changed(Effect.STOP, USERS, 1.0))
    assert (users.factor, users.stopped) == (1.0, True)
    users.follow(FaultState())
    assert (users.factor, users.stopped) == (1.0, False)


async def test_the_rate_is_asked_for_before_every_journey() -> None:
    """So a spike begins at once; the same seed gives the same journeys whatever the rate."""
    asked: list[float] = []

    def rate_per_s() -> float:
        asked.append(1e4)
        return asked[-1]

    first = [await anext(journeys) for journeys in [arrivals(rate_per_s, random.Random(7))] for _ in range(20)]
    again = [await anext(journeys) for journeys in [arrivals(lambda: 1e5, random.Random(7))] for _ in range(20)]
    assert len(asked) == 20
    assert first == again


async def test_requests_to_a_name_take_turns_and_a_name_without_instances_goes_out_as_it_is() -> None:
    """An address that refuses is refused each time it has its turn."""
    hosts = NamedHosts({"catalog": ["127.0.0.1:1", "127.0.0.1:2"]}, httpx.Limits())
    refused = []
    async with httpx.AsyncClient(transport=hosts) as client:
        for _ in range(4):
            with pytest.raises(httpx.ConnectError) as error:
                await client.get("http://catalog/products")
            refused.append(error.value.request.url.host)
    assert refused == ["catalog"] * 4, "errors tell the name, as spans do"


def test_a_bad_release_names_itself_and_those_beside_it() -> None:
    """The truth is the bad one."""
    bad = faults.bad_release(Release("pricing", "2.0.0", extra_s=0.1), Release("cart", "1.5.0"))
    assert (bad.service, bad.kind) == ("pricing", "latency_regression")
    assert [release.service for release in bad.releases] == ["pricing", "cart"]
    assert "cart 1.5.0" in bad.what
    assert faults.harmless_release(Release("cart", "1.5.0")).service == ""
