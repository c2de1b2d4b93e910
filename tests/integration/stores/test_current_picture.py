"""The current picture and rate limits on a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from store_examples import MINUTE_NS, ONSET_NS, health

from schemas.errors import SetupError, StoreRejected, StoreUnavailable
from schemas.settings import Settings
from sinks import redis as current
from sinks.redis import Client, open_redis

WALL_S = 1_800_000_000.25


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """Give a client on an empty database."""
    opened = open_redis(settings)
    yield opened
    await opened.aclose()


def away(settings: Settings) -> Client:
    """Give a client of a server that is not there."""
    return open_redis(settings.model_copy(update={"redis_url": SecretStr("redis://:secret@127.0.0.1:1/0")}))


async def test_the_newest_pane_is_the_picture_in_any_order(client: Client) -> None:
    """Pane, then version, then revision decide; instants one nanosecond apart are told apart."""
    panes = [
        health(pane_start_ns=ONSET_NS, version=99, revision=5),
        health(pane_start_ns=ONSET_NS + 1, version=1, revision=7),
        health(pane_start_ns=ONSET_NS + 1, version=10, revision=0),
        health(pane_start_ns=ONSET_NS + 1, version=10, revision=2),
    ]
    for number, order in enumerate(itertools.permutations(panes)):
        for pane in order:
            await current.set_health(client, pane.model_copy(update={"tenant": f"t{number}"}))
        [found] = await current.picture(client, f"t{number}")
        assert found == panes[3].model_copy(update={"tenant": f"t{number}"})


async def test_setting_says_whether_it_was_newer(client: Client) -> None:
    """The same pane again and an older one are not set."""
    assert await current.set_health(client, health())
    assert not await current.set_health(client, health())
    assert not await current.set_health(client, health(pane_start_ns=ONSET_NS - MINUTE_NS, revision=3))


async def test_the_picture_holds_every_service_of_the_tenant_and_no_other(client: Client) -> None:
    """Names of any kind, by name; tenants whose names begin alike do not mix."""
    names = ["b", "a:picture:b", "{x}", "größe", "sp ace|pipe", "line\nbreak"]
    for name in names:
        await current.set_health(client, health(name))
    await current.set_health(client, health("theirs", tenant="acme2"))
    assert [found.service for found in await current.picture(client, "acme")] == sorted(names)
    assert [found.service for found in await current.picture(client, "acme2")] == ["theirs"]
    assert await current.picture(client, "other") == []
    assert await current.service_health(client, "other", "b") is None
    assert await current.service_health(client, "acme", "b") == health("b")


async def test_a_service_that_nobody_reports_on_leaves(client: Client) -> None:
    """What has expired is not shown and not remembered, and may come back, also with an older pane."""
    await current.set_health(client, health("stays"))
    await current.set_health(client, health("goes"), ttl_s=1)
    assert await client.pttl("is:{acme}:names") > 60_000, "the index lives as long as the longest of them"
    await client.pexpire("is:{acme}:picture:goes", 0)
    assert [found.service for found in await current.picture(client, "acme")] == ["stays"]
    await client.zadd("is:{acme}:names", {"goes": 1})
    await current.set_health(client, health("stays", pane_start_ns=ONSET_NS + 1))
    assert await client.zcard("is:{acme}:names") == 1
    assert await current.set_health(client, health("goes", pane_start_ns=ONSET_NS - MINUTE_NS))
    assert len(await current.picture(client, "acme")) == 2


async def test_nothing_is_kept_without_an_end(client: Client) -> None:
    """Every key expires: Redis holds nothing for good."""
    await current.set_health(client, health())
    await current.take(client, "acme", "otlp", capacity=5, per_s=1, wall_s=WALL_S)
    keys = await client.keys("*")
    assert len(keys) == 3
    assert all([await client.pttl(key) > 0 for key in keys])


async def test_a_bucket_gives_its_capacity_and_then_its_rate(client: Client) -> None:
    """Five at once, then one each half second, and the answer says when."""

    async def take(wall_s: float, cost: float = 1) -> current.Allowance:
        return await current.take(client, "acme", "otlp", capacity=5, per_s=2, wall_s=wall_s, cost=cost)

    answers = [await take(WALL_S) for _ in range(6)]
    assert [answer.allowed for answer in answers] == [True] * 5 + [False]
    assert answers[0].remaining == 4
    assert answers[5].retry_after_s == pytest.approx(0.5)
    assert not (await take(WALL_S + 0.4)).allowed
    assert (await take(WALL_S + 0.5)).allowed
    assert not (await take(WALL_S + 0.5)).allowed
    assert not (await take(WALL_S - 3600)).allowed, "a clock that goes back gives nothing"
    assert (await take(WALL_S + 1.0)).allowed, "and takes nothing"
    assert not (await take(WALL_S + 1.0)).allowed
    assert not (await take(WALL_S + 100, cost=6)).allowed, "more than the capacity is never there"
    assert (await take(WALL_S + 100, cost=5)).allowed


async def test_buckets_are_separate_by_tenant_and_name(client: Client) -> None:
    """One client's flood is not another's."""

    async def take(tenant: str, name: str) -> bool:
        return (await current.take(client, tenant, name, capacity=1, per_s=0.1, wall_s=WALL_S)).allowed

    assert [await take("acme", "otlp"), await take("acme", "otlp")] == [True, False]
    assert [await take("other", "otlp"), await take("acme", "api")] == [True, True]


async def test_takers_at_once_share_one_bucket(client: Client) -> None:
    """Twenty at the same time get the seven that are there."""
    answers = await asyncio.gather(
        *(current.take(client, "acme", "otlp", capacity=7, per_s=0.1, wall_s=WALL_S) for _ in range(20))
    )
    assert sum(answer.allowed for answer in answers) == 7


async def test_a_server_that_is_away_says_try_later(settings: Settings) -> None:
    """Each function raises what the pipeline counts and goes on from."""
    client = away(settings)
    for call in (
        current.ping(client),
        current.set_health(client, health()),
        current.picture(client, "acme"),
        current.service_health(client, "acme", "checkout"),
        current.take(client, "acme", "otlp", capacity=1, per_s=1, wall_s=WALL_S),
    ):
        with pytest.raises(StoreUnavailable) as error:
            await call
        assert "secret" not in str(error.value)
    await client.aclose()


async def test_a_wrong_password_will_not_get_better(settings: Settings) -> None:
    """A refused login is told from a server that is away."""
    url = settings.redis_url.get_secret_value().replace("redis://:", "redis://:wrong")
    client = open_redis(settings.model_copy(update={"redis_url": SecretStr(url)}))
    with pytest.raises(StoreRejected):
        await current.ping(client)
    await client.aclose()


@pytest.mark.parametrize("url", ["", "http://:s3cret@host", "redis://:s3cret@host:port/0"])
def test_a_senseless_redis_url_is_refused_without_its_password(url: str) -> None:
    """The message helps and keeps the secret."""
    with pytest.raises(SetupError) as refusal:
        open_redis(Settings(redis_url=SecretStr(url), _env_file=None))
    assert "s3cret" not in str(refusal.value)


async def test_badges_tell_how_far_each_baseline_is(client: Client) -> None:
    """A later badge replaces the one of its service, the others stay; tenants do not mix."""
    await current.set_badges(client, "t", {"cart": ("learning", "learning"), "größe": ("quiet", "reliable")})
    await current.set_badges(client, "t", {"cart": ("reliable", "learning")})
    await current.set_badges(client, "t", {})
    assert await current.badges(client, "t") == {"cart": ("reliable", "learning"), "größe": ("quiet", "reliable")}
    assert await current.badges(client, "tt") == {}


async def test_names_that_come_and_go_are_forgotten_while_their_tenant_stays(client: Client) -> None:
    """In the index and in the badges, whether anybody reads them or not: hosts outside have names of their own."""
    for number in range(30):
        await current.set_badges(client, "acme", {f"gone{number}": ("learning", "learning")}, ttl_s=0.001)
        await current.set_health(client, health(f"gone{number}"), ttl_s=0.001)
        await current.set_badges(client, "acme", {"stays": ("reliable", "learning")})
    await asyncio.sleep(0.01)
    await current.set_health(client, health("stays"))
    assert await client.zrange("is:{acme}:names", 0, -1) == [b"stays"]
    assert await client.hkeys("is:{acme}:badges") == [b"stays"]
    assert await current.badges(client, "acme") == {"stays": ("reliable", "learning")}


async def test_what_another_version_has_stored_is_no_picture_and_no_error(client: Client) -> None:
    """Workers and APIs of two versions run side by side during an upgrade."""
    await current.set_health(client, health())
    await client.hset("is:{acme}:picture:checkout", "d", '{"of_tomorrow": 1}')
    assert await current.service_health(client, "acme", "checkout") is None
    assert await current.picture(client, "acme") == []
