"""checkout: turns a cart into an order. Calls cart, payments and shipping, writes the order."""

from __future__ import annotations

from fastapi import APIRouter

from deploy.shop.service import ServiceContext


def create_router(context: ServiceContext) -> APIRouter:
    """Build the routes of checkout."""
    router = APIRouter()

    @router.post("/orders/{user}")
    async def order(user: int) -> dict[str, object]:
        """Buy what is in the cart."""
        await context.work(4)
        cart = (await context.call("GET", "cart", f"/carts/{user}")).json()
        charge = {"user": user, "cents": cart["cents"]}
        payment = (await context.call("POST", "payments", "/payments", json=charge)).json()
        shipment = (await context.call("POST", "shipping", f"/shipments/{user}")).json()
        await context.database.execute(
            "INSERT INTO purchase (shopper, cents, payment) VALUES ($1, $2, $3)", user, cart["cents"], payment["id"]
        )
        await context.call("DELETE", "cart", f"/carts/{user}")
        context.log.info("order of user %d over %d cents placed", user, cart["cents"])
        return {"payment": payment["id"], "shipment": shipment["id"]}

    return router
