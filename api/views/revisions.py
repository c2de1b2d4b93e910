"""Revisions of panes as readers see them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from schemas.queries import PaneRevision


class Revisions(BaseModel):
    """Every telling of the panes of one service."""

    service: str
    start_ns: int
    end_ns: int
    late_items: int = Field(description="Spans and log records that came in this time after their pane had closed.")
    items: list[PaneRevision]
    truncated: bool = Field(description="Whether there are more: ask for less time.")
