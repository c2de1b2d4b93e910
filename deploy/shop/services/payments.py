"""payments: charges cards. Asks a card network that is not ours, and does not wait for it for ever."""

from __future__ import annotations

import uuid

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from deploy.shop.service import ServiceContext
from deploy.shop.wiring import CARD_NETWORK

CARD_TIMEOUT_S = 2.0


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
        await context.work(3)
        asked = await context.call(
            "POST", CARD_NETWORK, "/authorisations", json={"cents": given.cents}, timeout=CARD_TIMEOUT_S
        )
        if not asked.json()["authorised"]:
            context.log.warning("card of user %d declined", given.user)
            raise HTTPException(402, "declined")
        context.log.info("charged %d cents", given.cents)
        return {"id": uuid.uuid4().hex}

    return router
