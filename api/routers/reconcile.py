"""Reconcile: what producers gave the broker against what became of it."""

from __future__ import annotations

from fastapi import APIRouter

from api import examples, examples_operations
from api.auth import Tenant
from api.paths import API
from api.resources import AppSettings, OpenStores, WallNs
from schemas.reconciling import Reconciliation
from sinks.clickhouse.accounts import tenant_accounts
from sinks.reconciling import reconcile

router = APIRouter(prefix=f"{API}/reconcile", tags=["reconcile"])


@router.get(
    "",
    summary="Compare produced with stored",
    response_description="What became of the records, and what is missing.",
    responses=examples.answer(examples_operations.RECONCILIATION),
)
async def get_reconciliation(
    tenant: Tenant, stores: OpenStores, settings: AppSettings, wall_ns: WallNs
) -> Reconciliation:
    """Tell what became of this tenant's records, and how old its newest stored event is.

    The operator's key also sees every partition, with gaps by offset and lag in records and seconds, and every tenant.
    A broker's offsets tell how much all tenants together send, so others get no partitions.
    """
    if tenant == settings.operator:
        return await reconcile(settings, stores.clickhouse)
    mine = await tenant_accounts(stores.clickhouse, tenant, wall_ns)
    return Reconciliation(at_ns=wall_ns, complete=None, partitions=[], tenants=mine)
