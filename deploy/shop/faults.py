"""The faults of the shop: what each does, and the truth about it.

Each is made by a function, so that scenarios can have it at another place or of another strength
(`topologies.demo.scenarios`); `FAULTS` are those with a name of their own on the command line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.shop.switch import USERS, Effect
from deploy.shop.wiring import CARD_NETWORK, LANES, TWO_INSTANCES, lane, places

DATABASE_NODE = "postgresql:shop"
"""The database as traces name it."""


@dataclass(frozen=True, slots=True)
class Release:
    """A version of a service, and what is wrong with it."""

    service: str
    version: str
    fail_share: float = 0.0
    """Share of its requests it fails."""
    extra_s: float = 0.0
    """Time it wastes in each request."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault a user can inject, and the truth about it."""

    name: str
    service: str
    """What a good diagnosis names first: a service, a database or a host; empty when nothing is at fault."""
    kind: str
    what: str
    """What is done to the shop, in words."""
    edge_client: str | None = None
    """For a fault of one connection: its client."""
    effects: tuple[tuple[Effect, str, float], ...] = ()
    """What is switched on inside the processes: effect, target, strength."""
    releases: tuple[Release, ...] = ()
    """What is rolled out at once, and announced."""
    locked_tables: tuple[str, ...] = ()
    """Tables of the database that a maintenance job keeps locking."""
    killed: str = ""
    """The instance that is killed."""


def delay(client: str = "checkout", server: str = "payments", delay_s: float = 0.4) -> Fault:
    """Make the network from one service to another slow; the pair is one of `LANES`."""
    assert (client, server) in LANES, "only a connection that leads through the proxy can be slow"
    what = f"the network from {client} to {server} gets {delay_s * 1000:.0f} ms slower"
    effects = ((Effect.DELAY, lane(client, server), delay_s),)
    return Fault("delay", server, "delay", what, edge_client=client, effects=effects)


def errors(service: str = "shipping", share: float = 0.4) -> Fault:
    """Let a service fail a share of its requests, without a release."""
    what = f"{service} fails {share * 100:g} % of its requests"
    return Fault("errors", service, "error_return", what, effects=((Effect.ERRORS, service, share),))


def trickle(service: str = "cart", share: float = 0.015) -> Fault:
    """Let a service fail very few of its requests, for long."""
    return replace(errors(service, share), name="trickle", kind="trickle")


def cpu(service: str = "pricing", loops: int = 2) -> Fault:
    """Let busy loops take the CPU of a service's process."""
    what = f"busy loops in the {service} process take its CPU"
    return Fault("cpu", service, "cpu", what, effects=((Effect.BURN, service, loops),))


def memory(service: str = "recommendations", entries: int = 20_000) -> Fault:
    """Let a cache of a service grow with each request, and each request search all of it."""
    what = f"a cache in {service} grows with each request and is never emptied"
    return Fault("memory", service, "memory", what, effects=((Effect.LEAK, service, entries),))


def dead_instance(service: str = "catalog") -> Fault:
    """Kill one of the two instances of a service; its address stays known."""
    assert service in TWO_INSTANCES, "a service with one instance would be gone"
    killed = places(service)[-1]
    return Fault(
        "dead-instance", service, "dead_instance", f"one of two instances of {service} is killed", killed=killed
    )


def bad_release(release: Release, *beside: Release) -> Fault:
    """Roll out a release that is bad, and others at the same time that are not."""
    bad = f"fails {release.fail_share * 100:.0f} % of its requests"
    if release.extra_s:
        bad = f"takes {release.extra_s * 1000:.0f} ms longer"
    others = f" together with {' and '.join(f'{one.service} {one.version}' for one in beside)}" if beside else ""
    what = f"{release.service} {release.version} goes live{others} and {bad}"
    kind = "latency_regression" if release.extra_s else "error_return"
    return Fault("deploy-errors", release.service, kind, what, releases=(release, *beside))


def harmless_release(*releases: Release) -> Fault:
    """Roll out releases with nothing wrong in them."""
    what = f"{' and '.join(f'{one.service} {one.version}' for one in releases)} goes live and is as good as before"
    return Fault("harmless-deploy", "", "none", what, releases=releases)


def spike(factor: float = 5.0) -> Fault:
    """Send many times more users."""
    what = f"{factor:g} times as many users come"
    return Fault("traffic-spike", "storefront", "traffic_spike", what, effects=((Effect.SPIKE, USERS, factor),))


def busier(factor: float = 1.4) -> Fault:
    """Send a few more users, as any day does."""
    return replace(spike(factor), name="busier", service="", kind="none")


def stop() -> Fault:
    """Keep all users away."""
    what = "the users' requests no longer reach storefront"
    return Fault("traffic-stop", "storefront", "traffic_stop", what, effects=((Effect.STOP, USERS, 1.0),))


def slow_query(*tables: str) -> Fault:
    """Let a maintenance job lock tables, half a second at a time."""
    tables = tables or ("product",)
    what = f"a maintenance job keeps locking {', '.join(tables)}, so that queries wait up to half a second"
    return Fault("slow-query", DATABASE_NODE, "slow_query", what, locked_tables=tables)


def dependency_timeout(share: float = 1.0) -> Fault:
    """Let the card network accept requests and not answer, until payments gives up."""
    what = f"the card network no longer answers {share * 100:.0f} % of the requests of payments"
    effects = ((Effect.HANG, CARD_NETWORK, share),)
    return Fault("dependency-timeout", CARD_NETWORK, "dependency_timeout", what, effects=effects)


BAD_CART = Release("cart", "1.5.0", fail_share=0.4)

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        delay(),
        bad_release(BAD_CART),
        cpu(),
        stop(),
        errors(),
        memory(),
        dead_instance(),
        replace(
            bad_release(BAD_CART, Release("catalog", "3.2.0"), Release("shipping", "1.2.0")),
            name="deploy-among-others",
        ),
        spike(),
        slow_query(),
        dependency_timeout(),
        trickle(),
    )
}
