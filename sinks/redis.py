"""Redis or Valkey: the current picture and rate limits. Nothing here that cannot be rebuilt.

Every function raises `StoreUnavailable` when the server is away; the pipeline counts that and goes on, and an
API lets the request through. The keys of a tenant share a hash tag, so they work on a cluster::

    is:{TENANT}:names              sorted set: services that have a picture or a badge, and the millisecond they leave
    is:{TENANT}:picture:SERVICE    hash: v = version, d = ServiceHealth JSON; expires
    is:{TENANT}:badges             hash: service = learning | reliable | quiet (its baseline), a space, and
                                   learning | reliable (what is usual at this hour of the week); expires
                                   (whoever writes takes out of both a few of the services that have left)
    is:{TENANT}:bucket:NAME        hash: t = tokens, w = wall-clock second of the last take; expires
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from schemas.errors import SetupError, StoreRejected, StoreUnavailable
from schemas.health import ServiceHealth
from schemas.settings import Settings

Client = Redis

PICTURE_TTL_S = 3600
"""A service that nobody reports on for this long leaves the picture."""

_AT_ONCE = 256
"""Pictures in one exchange with the server."""


def open_redis(settings: Settings) -> Client:
    """Make a client that connects when first used and gives up on a silent server after 2 s.

    Raises `SetupError` when the URL is missing or cannot be read.
    """
    url = settings.redis_url.get_secret_value()
    if not url:
        raise SetupError("no Redis is set", "set INCIDENTSCOPE_REDIS_URL=redis://:password@host:6379/0")
    one_more_try = Retry(NoBackoff(), 1)  # for a pooled connection that died; waiting is the caller's business
    try:
        return Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0, retry=one_more_try)
    except ValueError:  # not chained: its text may quote the URL, and with it the password
        raise SetupError(
            "the Redis URL cannot be read", "write it as redis://:password@host:6379/0, rediss://... or unix://path"
        ) from None


async def ping(client: Client) -> str:
    """Return the server's version. Raises `StoreUnavailable` or `StoreRejected` (a wrong password, say)."""
    with translated("asking for the version"):
        facts: dict[str, Any] = await client.info("server")
    return str(facts.get("valkey_version") or facts.get("redis_version"))


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn the driver's errors into `StoreUnavailable` (try again) and `StoreRejected` (never)."""
    try:
        yield
    except (AuthenticationError, ResponseError) as error:
        later = isinstance(error, ResponseError) and str(error).startswith(_LATER_REPLIES)
        raise (StoreUnavailable if later else StoreRejected)(f"Redis, {doing}: {error}") from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"Redis, {doing}: {type(error).__name__}: {error}") from error


_LATER_REPLIES = ("OOM", "MISCONF", "READONLY", "You can't write against a read only", "CLUSTERDOWN", "TRYAGAIN")
"""Replies that pass: out of memory, no disk, a replica during fail-over, a cluster that rearranges itself."""

# KEYS: names, badges. ARGV: life in ms, service. Names come and go while their tenant stays: whoever writes clears up.
_KNOW = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now_ms + ARGV[1]), ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms), 'LIMIT', 0, 100)
if #gone > 0 then
    redis.call('ZREM', KEYS[1], unpack(gone))
    redis.call('HDEL', KEYS[2], unpack(gone))
end
"""

# KEYS: names, badges. ARGV: life in ms, service, badge.
_SET_BADGE = (
    _KNOW
    + """
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
"""
)

# KEYS: names, badges, picture. ARGV: life in ms, service, version, document.
# Versions are zero-padded decimals: Lua numbers are doubles, which cannot tell nanosecond instants apart.
_SET_HEALTH = (
    """
local stored = redis.call('HGET', KEYS[3], 'v')
if stored and stored >= ARGV[3] then return 0 end
redis.call('HSET', KEYS[3], 'v', ARGV[3], 'd', ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
"""
    + _KNOW
    + "return 1"
)


async def set_health(client: Client, health: ServiceHealth, *, ttl_s: float = PICTURE_TTL_S) -> bool:
    """Make this the current picture of its service, unless a newer one is there.

    Newer is the later pane, then the larger version, then the larger revision. Returns whether it was set.
    """
    [done] = await set_healths(client, [health], ttl_s=ttl_s)
    return done


async def set_healths(client: Client, healths: Sequence[ServiceHealth], *, ttl_s: float = PICTURE_TTL_S) -> list[bool]:
    """Make these the current pictures of their services, as `set_health` does; a slow server is waited for once."""
    done: list[bool] = []
    for begin in range(0, len(healths), _AT_ONCE):
        with translated("setting pictures"):
            async with client.pipeline(transaction=False) as pipe:
                for health in healths[begin : begin + _AT_ONCE]:
                    version = f"{health.pane_start_ns:020d}.{health.version:020d}.{health.revision:010d}"
                    tenant, ttl_ms = health.tenant, round(ttl_s * 1000)
                    keys = (_names_key(tenant), _badges_key(tenant), _picture_key(tenant, health.service))
                    pipe.eval(_SET_HEALTH, 3, *keys, ttl_ms, health.service, version, health.model_dump_json())
                done += map(bool, await pipe.execute())
    return done


async def picture(client: Client, tenant: str) -> list[ServiceHealth]:
    """Return the current health of every service and node of the tenant, by name."""
    with translated("reading the picture"):
        listed: list[bytes | str] = await client.zrange(_names_key(tenant), 0, -1)  # type: ignore[assignment]
        names = sorted(map(_text, listed))
        async with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hget(_picture_key(tenant, name), "d")
            documents = await pipe.execute() if names else []
    found = [_read(document) for document in documents]
    return [health for health in found if health is not None]


async def service_health(client: Client, tenant: str, service: str) -> ServiceHealth | None:
    """Return the current health of one service, None when there is none."""
    with translated("reading a picture"):
        document = await client.hget(_picture_key(tenant, service), "d")
    return _read(document)


def _read(document: bytes | str | None) -> ServiceHealth | None:
    """Return what is stored; what another version has stored in its own way is as good as none for a pane or two."""
    try:
        return None if document is None else ServiceHealth.model_validate_json(document)
    except ValidationError:
        return None


async def set_badges(
    client: Client, tenant: str, badges: Mapping[str, tuple[str, str]], *, ttl_s: float = PICTURE_TTL_S
) -> None:
    """Say how far the baselines of each of these services are, trailing and by hour; those of other services stay."""
    if badges:
        with translated("setting badges"):
            async with client.pipeline(transaction=False) as pipe:
                keys, life_ms = (_names_key(tenant), _badges_key(tenant)), round(ttl_s * 1000)
                for service, (trailing, by_hour) in badges.items():
                    pipe.eval(_SET_BADGE, 2, *keys, life_ms, service, f"{trailing} {by_hour}")
                await pipe.execute()


async def badges(client: Client, tenant: str) -> dict[str, tuple[str, str]]:
    """Return by service ``learning``, ``reliable`` or ``quiet``, and how far its hours of the week are.

    Also of services that left the picture lately.
    """
    with translated("reading badges"):
        found = await client.hgetall(_badges_key(tenant))
    told = {_text(service): _text(badge).partition(" ") for service, badge in found.items()}
    return {service: (trailing, by_hour) for service, (trailing, _, by_hour) in told.items()}


def _text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply


def _names_key(tenant: str) -> str:
    return f"is:{{{tenant}}}:names"


def _badges_key(tenant: str) -> str:
    return f"is:{{{tenant}}}:badges"


def _picture_key(tenant: str, service: str) -> str:
    return f"is:{{{tenant}}}:picture:{service}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """The answer of a rate limit. ``retry_after_s`` is when the cost would be there; 0 when allowed."""

    allowed: bool
    remaining: int
    retry_after_s: float


# KEYS: bucket. ARGV: capacity, tokens per second, cost, wall-clock second. Tokens travel as text: Lua numbers
# become integers on the way out.
_TAKE = """
local capacity, per_s, cost, wall_s = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local stored = redis.call('HMGET', KEYS[1], 't', 'w')
local tokens, then_s = tonumber(stored[1] or capacity), tonumber(stored[2] or wall_s)
tokens = math.min(capacity, tokens + math.max(0, wall_s - then_s) * per_s)
local allowed = 0
if tokens + 1e-6 >= cost then tokens = math.max(0, tokens - cost); allowed = 1 end
redis.call('HSET', KEYS[1], 't', string.format('%.9f', tokens), 'w', string.format('%.6f', math.max(wall_s, then_s)))
redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / per_s * 1000) + 1000)
return {allowed, string.format('%.9f', tokens)}
"""


async def take(
    client: Client, tenant: str, bucket: str, *, capacity: float, per_s: float, wall_s: float, cost: float = 1.0
) -> Allowance:
    """Take ``cost`` tokens from a bucket that holds ``capacity`` and fills by ``per_s``, or nothing.

    The wall clock is handed in; one that goes back gives nothing and takes nothing. A cost above the capacity
    is never allowed.
    """
    key = f"is:{{{tenant}}}:bucket:{bucket}"
    with translated("asking a rate limit"):
        allowed, left = await client.eval(_TAKE, 1, key, capacity, per_s, cost, f"{wall_s:.6f}")
    tokens = float(left)
    return Allowance(bool(allowed), int(tokens), 0.0 if allowed else (cost - tokens) / per_s)
