"""catalog: what there is to buy. Reads the database."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException

from deploy.shop.service import ServiceContext

SHELF_SIZE = 12


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of the catalog."""
    router = APIRouter()

    @router.get("/products")
    async def shelf(start: int = 1) -> list[dict[str, object]]:
        """List a shelf of products."""
        await context.work(2)
        rows = await context.database.fetch(
            "SELECT id, name, stock FROM product WHERE id >= $1 ORDER BY id LIMIT $2", start, SHELF_SIZE
        )
        return [dict(row) for row in rows]

    @router.get("/products/{product_id}")
    async def product(product_id: int) -> dict[str, object]:
        """Show one product."""
        await context.work(2)
        row = await context.database.fetchrow("SELECT id, name, stock FROM product WHERE id = $1", product_id)
        if row is None:
            raise HTTPException(404, "no such product")
        if row["stock"] < 3:
            context.log.warning("stock of product %d is low: %d left", product_id, row["stock"])
        return dict(row)

    return router
