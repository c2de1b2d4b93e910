"""storefront: what the users see. Calls everything a page needs."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from deploy.shop.service import ServiceContext


def create_router(context: ServiceContext) -> APIRouter:
    """Build the pages of the shop."""
    router = APIRouter()

    @router.get("/")
    async def home(user: int = 1) -> dict[str, object]:
        """Show the first shelf and what the user might like."""
        await context.work(3)
        shelf, recommended = await asyncio.gather(
            context.call("GET", "catalog", "/products"),
            context.call("GET", "recommendations", f"/recommendations/{user}"),
        )
        return {"shelf": shelf.json(), "recommended": recommended.json()}

    @router.get("/products/{product_id}")
    async def product(product_id: int) -> dict[str, object]:
        """Show one product and its price."""
        await context.work(3)
        shown, price = await asyncio.gather(
            context.call("GET", "catalog", f"/products/{product_id}"),
            context.call("GET", "pricing", f"/prices/{product_id}"),
        )
        return {**shown.json(), **price.json()}

    @router.post("/cart/{user}/{product_id}")
    async def add_to_cart(user: int, product_id: int) -> dict[str, object]:
        """Put a product into the user's cart."""
        await context.work(2)
        added = await context.call("POST", "cart", f"/carts/{user}/items", json={"product_id": product_id})
        return dict(added.json())

    @router.post("/checkout/{user}")
    async def checkout(user: int) -> dict[str, object]:
        """Buy."""
        await context.work(2)
        ordered = await context.call("POST", "checkout", f"/orders/{user}")
        context.log.info("user %d bought", user)
        return dict(ordered.json())

    return router
