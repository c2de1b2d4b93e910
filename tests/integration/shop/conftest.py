"""A shop for the tests of a module, and a receiver of what it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.shop.identity import OtlpTarget
from deploy.shop.processes import Shop
from schemas.settings import Settings
from tests.integration.shop.otlp_receiver import Received, otlp_receiver


@pytest.fixture(scope="module")
async def received() -> AsyncIterator[Received]:
    """Receive what the shop sends."""
    async with otlp_receiver() as seen:
        yield seen


@pytest.fixture(scope="module")
async def shop(stack: Settings, received: Received, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """Run the shop under load; each test repairs what it breaks."""
    folder = tmp_path_factory.mktemp("shop")
    target = OtlpTarget(received.endpoint, {"x-api-key": "any"})
    async with Shop(folder, stack.postgres_dsn.get_secret_value(), target, rate_per_s=10.0) as open_shop:
        yield open_shop
