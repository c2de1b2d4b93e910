"""recommendations: what else one might like. Asks the catalog."""

from __future__ import annotations

from fastapi import APIRouter

from deploy.shop.service import ServiceContext


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of recommendations."""
    router = APIRouter()

    @router.get("/recommendations/{user}")
    async def recommend(user: int) -> list[object]:
        """Recommend three products."""
        await context.work(6)
        shelf = (await context.call("GET", "catalog", f"/products?start={1 + user % 80}")).json()
        context.log.info("recommended %d products", len(shelf[:3]))
        return list(shelf[:3])

    return router
