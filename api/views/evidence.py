"""Pinned evidence as readers see it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from schemas.pins import Moment, PinnedEvidence


class PinnedView(BaseModel):
    """What is pinned of an incident; null where it was not ranked yet."""

    incident_id: str
    opening: PinnedEvidence | None = None
    peak: PinnedEvidence | None = Field(None, description="When the leading suspicion was strongest.")

    @classmethod
    def of(cls, incident_id: str, pinned: Mapping[Moment, PinnedEvidence]) -> PinnedView:
        """Return the view of what is stored."""
        return cls(incident_id=incident_id, opening=pinned.get("opening"), peak=pinned.get("peak"))
