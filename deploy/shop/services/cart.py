"""cart: what a user wants to buy. Prices items, keeps them in the database."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from deploy.shop.service import ServiceContext


class Item(BaseModel):
    """A product put into a cart."""

    product_id: int


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of the cart."""
    router = APIRouter()

    @router.post("/carts/{user}/items")
    async def add(user: int, item: Item) -> dict[str, int]:
        """Put a product into the cart."""
        await context.work(3)
        cents = (await context.call("GET", "pricing", f"/prices/{item.product_id}")).json()["cents"]
        await context.database.execute(
            "INSERT INTO cart_item (shopper, product_id, cents) VALUES ($1, $2, $3)", user, item.product_id, cents
        )
        context.log.info("product %d put into the cart of user %d", item.product_id, user)
        return {"cents": cents}

    @router.get("/carts/{user}")
    async def show(user: int) -> dict[str, int]:
        """Total the cart."""
        await context.work(3)
        rows = await context.database.fetch("SELECT cents FROM cart_item WHERE shopper = $1", user)
        return {"items": len(rows), "cents": sum(row["cents"] for row in rows)}

    @router.delete("/carts/{user}")
    async def clear(user: int) -> dict[str, bool]:
        """Empty the cart."""
        await context.database.execute("DELETE FROM cart_item WHERE shopper = $1", user)
        return {"cleared": True}

    return router
