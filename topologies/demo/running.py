"""Put the demo together: product, shop, receiver; tell the story; tell where to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from deploy.shop.faults import FAULTS, Fault
from deploy.shop.identity import OtlpTarget
from deploy.shop.processes import Shop
from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.api_keys import KEY_FILE
from topologies.demo.front_door import API, FrontDoor
from topologies.demo.receiver import AlertReceiver
from topologies.demo.screen import Screen
from topologies.demo.story import Story
from topologies.demo.verdict import Verdict
from topologies.product import Product, running_product

TENANT = "demo"
"""The demo's telemetry goes to a tenant of its own, apart from what a user sends to the same stack."""

GROUP_WAIT_S = 10.0
"""Unless set otherwise: nobody watches a demo for half a minute to see an alert."""

RATE_PER_S = 6.0
"""Journeys a second."""


def faults() -> dict[str, str]:
    """Return the faults by name, each with what it does."""
    return {name: f"{fault.what}; to be named first: {fault.service}" for name, fault in FAULTS.items()}


def chosen(names: str) -> list[Fault]:
    """Return the faults of a comma-separated list; none named means ``delay``. Raises `SetupError` for a wrong one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()] or ["delay"]
    for name in wanted:
        if name not in FAULTS:
            raise SetupError(f"there is no fault {name!r}", f"choose from: {', '.join(FAULTS)}")
    return [FAULTS[name] for name in wanted]


def demo_settings(settings: Settings, receiver: AlertReceiver) -> Settings:
    """Return the settings with a tenant for the demo and, unless one is set, our receiver of alerts."""
    given = settings.model_fields_set
    update: dict[str, object] = {"default_tenant": TENANT} if "default_tenant" not in given else {}
    if "alert_group_wait_s" not in given:
        update["alert_group_wait_s"] = GROUP_WAIT_S
    if settings.alert_webhook_url:
        raise SetupError(
            "the demo needs the alert webhook for itself, and INCIDENTSCOPE_ALERT_WEBHOOK_URL is set",
            "run it without that variable: `env -u INCIDENTSCOPE_ALERT_WEBHOOK_URL incidentscope demo`",
        )
    update |= {
        "alert_webhook_url": receiver.url,
        "alert_webhook_secret": receiver.secret,
        "alert_webhook_allow_private": True,
    }
    return settings.model_copy(update=update)


async def run_demo(settings: Settings, *, fault: str = "", once: bool = False, rate_per_s: float = 0.0) -> bool:
    """Run the demo; return whether every fault was found and named first, with an alert delivered.

    ``fault`` is one name or several with commas, taken one after the other. ``once`` ends after the last verdict,
    otherwise the demo repairs the shop and serves until cancelled. ``rate_per_s`` is the load in journeys a second.
    """
    wanted = chosen(fault)
    async with AsyncExitStack() as opened:
        screen = opened.enter_context(Screen())
        receiver = await opened.enter_async_context(AlertReceiver())
        screen.phase("starting the stack and the product")
        product = await opened.enter_async_context(running_product(demo_settings(settings, receiver)))
        screen.phase("opening the shop")
        shop = await opened.enter_async_context(open_shop(product, rate_per_s or RATE_PER_S))
        door = await opened.enter_async_context(FrontDoor(product.api_url, product.api_key))
        story = Story(door, shop, receiver, screen)
        verdicts = await _unless_ended(product, _faults(story, wanted, repair_last=not once))
        _conclude(screen, story, verdicts)
        if not once:
            _show_where_to_look(screen, product, shop, verdicts)
            await _unless_ended(product, story.keep_showing())
        return all(verdict.passed for verdict in verdicts)


@asynccontextmanager
async def open_shop(product: Product, rate_per_s: float) -> AsyncIterator[Shop]:
    """Open the shop: it sends its telemetry to the product's API, with the product's key."""
    settings = product.settings
    target = OtlpTarget(product.api_url, {"authorization": f"Bearer {product.api_key}"})
    dsn = settings.postgres_dsn.get_secret_value()
    async with Shop(settings.data_dir / "shop", dsn, target, rate_per_s=rate_per_s) as shop:
        yield shop


async def _faults(story: Story, wanted: Sequence[Fault], *, repair_last: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for number, fault in enumerate(wanted, start=1):
        await story.warm_up()
        verdict = await story.tell(fault)
        verdicts.append(verdict)
        if repair_last or number < len(wanted):
            await story.repair(verdict)
    return verdicts


async def _unless_ended(product: Product, work: Coroutine[Any, Any, Any]) -> Any:
    """Return what ``work`` returns; raise what ended the product, if that comes first."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, product.ended], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            product.ended.result()
            raise SetupError("the product ended by itself", "read incidentscope.log in the data folder")
        return task.result()
    finally:
        task.cancel()


def _conclude(screen: Screen, story: Story, verdicts: list[Verdict]) -> None:
    passed = sum(verdict.passed for verdict in verdicts)
    alarms = len(story.false_alarms)
    screen.say(
        f"{passed} of {len(verdicts)} faults found and named first; false alarms while nothing was wrong: {alarms}"
    )


def _show_where_to_look(screen: Screen, product: Product, shop: Shop, verdicts: list[Verdict]) -> None:
    """Say where things are. The key itself is shown on a terminal only, never to a log."""
    settings = product.settings
    key = product.api_key if screen.live else f"$(cat {settings.data_dir / KEY_FILE})"
    api = f"{product.api_url}{API}"
    screen.phase("serving until Ctrl-C")
    screen.say(f"the shop    {shop.url}/")
    screen.say(f"API docs    {product.api_url}/docs")
    for incident in (verdict.incident for verdict in verdicts if verdict.incident):
        screen.say(f"{incident.name:<11} {api}/incidents/{incident.name}/overview")
    screen.say(f"services    {api}/services")
    screen.say(f"map         {api}/edges")
    screen.say(f'ask like    curl -H "Authorization: Bearer {key}" {api}/services')
