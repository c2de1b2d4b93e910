"""payments: charges cards. Waits for a card network that is not ours; declines some, as card networks do."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from deploy.shop.service import ServiceContext

DECLINED_SHARE = 0.01


class Charge(BaseModel):
    """What to take from whom."""

    user: int
    cents: int


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of payments."""
    router = APIRouter()

    @router.post("/payments")
    async def charge(given: Charge) -> dict[str, str]:
        """Charge a card."""
        await context.work(25)
        if context.chance.random() < DECLINED_SHARE:
            context.log.warning("card of user %d declined", given.user)
            raise HTTPException(402, "declined")
        context.log.info("charged %d cents", given.cents)
        return {"id": uuid.uuid4().hex}

    return router
