"""pricing: what it costs. Computes, and calls nobody."""

from __future__ import annotations

import hashlib

from fastapi import APIRouter

from deploy.shop.service import ServiceContext

ROUNDS = 400
"""Hash rounds a price takes: well under a millisecond of CPU."""


def price_of(product_id: int) -> int:
    """Derive the price in cents; always the same for a product."""
    digest = str(product_id).encode()
    for _ in range(ROUNDS):
        digest = hashlib.sha256(digest).digest()
    return 199 + int.from_bytes(digest[:2], "big") % 9_800


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of pricing."""
    router = APIRouter()

    @router.get("/prices/{product_id}")
    async def price(product_id: int) -> dict[str, int]:
        """Price one product: rates, then discounts, then taxes."""
        for _ in range(3):
            await context.work(1.5)
            cents = price_of(product_id)
        return {"product_id": product_id, "cents": cents}

    return router
