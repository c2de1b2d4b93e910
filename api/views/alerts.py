"""Alerts as readers see them: what was said, to whom, and how each attempt went."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, Field

from schemas.incidents import Alert
from sinks.postgres.alerts import StoredAlert


class AttemptView(BaseModel):
    """One try to deliver."""

    attempt: int
    started_ns: int
    finished_ns: int | None = None
    outcome: str = Field(description="`started` while it runs, and for good when its process died.")
    status_code: int | None = Field(None, description="HTTP status of the receiver, where there was one.")
    detail: str = ""


class DeliveryView(BaseModel):
    """One receiver of an alert."""

    receiver: str = Field(description="`topic` is the Kafka topic, `nobody` says that no receiver for people is set.")
    status: Literal["pending", "delivered", "dead", "no_receiver"]
    attempts: int
    next_attempt_ns: int | None = Field(None, description="While pending: when it is tried again.")
    finished_ns: int | None = None
    detail: str = ""
    log: list[AttemptView]


class AlertView(BaseModel):
    """An alert and what became of it."""

    alert: Alert
    deliveries: list[DeliveryView]

    @classmethod
    def of(cls, stored: StoredAlert) -> AlertView:
        """Return the view of a stored alert."""
        return cls(alert=stored.alert, deliveries=[_delivery(asdict(delivery)) for delivery in stored.deliveries])


def _delivery(found: dict[str, object]) -> DeliveryView:
    view = DeliveryView.model_validate(found)
    return view if view.status == "pending" else view.model_copy(update={"next_attempt_ns": None})


class AlertPage(BaseModel):
    """Alerts, latest first."""

    items: list[AlertView]
    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page; null on the last.")
