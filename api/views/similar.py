"""Earlier incidents like one, as readers see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from api.views.incidents import IncidentView
from schemas.incidents import HypothesisSet
from sinks.postgres.incidents import Incident
from sinks.postgres.resemblance import Alike


class SimilarIncident(BaseModel):
    """An earlier incident, and why it is here."""

    similarity: float = Field(ge=0, le=1, description="By features; error lines that mean the same add to it.")
    by_features: float = Field(ge=0, le=1, description="Cosine of what both rankings saw.")
    by_text: float | None = Field(
        None, ge=0, le=1, description="Cosine of what the error lines of both mean; null until they are read."
    )
    shared: list[str] = Field(description="What both have, weightiest first.")
    cause: str | None = Field(None, description="Its leading hypothesis, when it has any.")
    incident: IncidentView


class SimilarIncidents(BaseModel):
    """Earlier incidents, most similar first."""

    incident_id: str
    items: list[SimilarIncident]

    @classmethod
    def of(
        cls,
        incident_id: str,
        alike: Sequence[Alike],
        found: Sequence[Incident],
        ranked: Mapping[str, HypothesisSet],
    ) -> SimilarIncidents:
        """Return the view of what was found; ``found`` are the incidents of ``alike``, in order."""
        items = [
            SimilarIncident(
                similarity=_cosine(one.similarity),
                by_features=_cosine(one.by_features),
                by_text=None if one.by_text is None else _cosine(one.by_text),
                shared=list(one.shared),
                cause=_cause(ranked.get(one.incident_id)),
                incident=IncidentView.of(incident),
            )
            for one, incident in zip(alike, found, strict=True)
        ]
        return cls(incident_id=incident_id, items=items)


def _cosine(value: float) -> float:
    return round(max(0.0, min(1.0, value)), 4)


def _cause(ranking: HypothesisSet | None) -> str | None:
    return ranking.hypotheses[0].title if ranking is not None and ranking.hypotheses else None
