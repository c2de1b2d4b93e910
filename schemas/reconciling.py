"""What was produced, what became of it, and what is missing: the answer of a reconciliation."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field


class Outcome(StrEnum):
    """What became of a record of a raw topic."""

    STORED = "stored"
    """Landed; items of it may have been refused."""
    REFUSED = "refused"
    """A dead letter."""
    REPEATED = "repeated"
    """A replay of a dead letter that had been there already."""
    EMPTY = "empty"
    """A tick, or a request without content."""


class GapCause(StrEnum):
    """Why nobody can say what became of an offset."""

    MISSING = "missing"
    """It lies below the committed floor and is in the log, and nothing tells of it: a bug, report it."""
    GONE = "gone"
    """It was never read and the log begins after it: eaten by retention, lost with a broker, or never given out."""


class Gap(BaseModel):
    """A range of offsets that is accounted for nowhere."""

    first_offset: int
    last_offset: int
    cause: GapCause

    @property
    def records(self) -> int:
        """How many offsets."""
        return self.last_offset - self.first_offset + 1


class Outcomes(BaseModel):
    """How many records there are of each outcome."""

    stored: int = 0
    refused: int = 0
    repeated: int = 0
    empty: int = 0

    def total(self) -> int:
        """Return how many records are accounted for."""
        return self.stored + self.refused + self.repeated + self.empty


class PartitionAccount(BaseModel):
    """One partition: the broker's offsets against what is accounted for. Ranges are [first, end)."""

    topic: str
    partition: int
    first_offset: int = Field(description="Where this account begins.")
    floor_offset: int = Field(description="What our group has committed: below it everything must be accounted for.")
    read_offset: int = Field(description="After the newest record that is accounted for.")
    end_offset: int = Field(description="The end of the log.")
    outcomes: Outcomes = Field(description="Of the records from `first_offset` on, ticks included.")
    gaps: list[Gap] = Field(description="Named ranges; at most 100 of a partition, the oldest.")
    missing_records: int = Field(description="Over all gaps, also those not named.")
    lag_records: int = Field(description="Records not accounted for yet: being read, or waiting.")
    lag_s: float = Field(description="Age of the oldest of them; 0 when there is none.")


class TenantAccount(BaseModel):
    """What became of one tenant's records of one topic, and how new its newest stored event is."""

    tenant: str = Field(description="Empty for ticks of no tenant, `unknown` for records of nobody.")
    topic: str
    outcomes: Outcomes
    newest_event_ns: int | None = Field(None, description="Event time of the newest stored item; null for metrics.")
    newest_arrival_ns: int | None = None
    ingest_delay_s: float | None = Field(None, description="From the newest stored event to `at_ns`.")


class Reconciliation(BaseModel):
    """Produced against stored, at one instant."""

    at_ns: int
    complete: bool | None = Field(description="Whether nothing is missing; null where partitions are not told.")
    partitions: list[PartitionAccount]
    tenants: list[TenantAccount]
