"""One broker and one running worker a file for the catalogue of bad input; every test has a tenant of its own.

Tested elsewhere, because they are not about records: webhooks in `tests/unit/test_webhook_signature.py`; hostile
API requests in `tests/integration/api/test_fuzzed_api.py` and `tests/unit/api`; targets of outgoing webhooks in
`tests/unit/test_addresses.py` and `tests/integration/stores/test_webhook_delivery.py`; bodies over HTTP in
`tests/unit/api/test_otlp_requests.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import pytest
from house import House
from live_worker import quick, running
from own_stores import own_stores

from deploy.embedded import EmbeddedStack
from schemas.settings import Settings

numbers = count(1)


@pytest.fixture(scope="module")
async def living(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run a worker on stores of its own for all tests of a file; it ends with them."""
    folder = tmp_path_factory.mktemp("bad-input")
    async with own_stores(stack, folder / "data") as own:
        only_broker = own.model_copy(update={"kafka_brokers": "", "data_dir": folder / "broker"})
        async with EmbeddedStack(only_broker, throwaway=True) as with_broker:
            settings = quick(own.model_copy(update={"kafka_brokers": with_broker.kafka_brokers}))
            async with running(settings) as (stores, worker):
                yield House("", settings, stores, worker)


@pytest.fixture
async def house(living: House) -> AsyncIterator[House]:
    """Give the house with a tenant nobody else has; afterwards the worker must still be at work."""
    own = living.of_tenant(f"t{next(numbers)}")
    yield own
    assert own.worker.app.failure is None
