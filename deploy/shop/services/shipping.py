"""shipping: books a parcel. Calls nobody."""

from __future__ import annotations

from fastapi import APIRouter

from deploy.shop.service import ServiceContext


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of shipping."""
    router = APIRouter()

    @router.post("/shipments/{user}")
    async def book(user: int) -> dict[str, str]:
        """Book a parcel."""
        await context.work(9)
        context.log.info("parcel for user %d booked", user)
        return {"id": f"parcel-{user}-{context.chance.randrange(10**6)}"}

    return router
