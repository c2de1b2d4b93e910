"""Dead letters as readers see them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.parameters import rfc3339
from schemas.dead_letters import DeadLetter
from schemas.errors import RejectReason
from sinks.postgres.dead_letters import LetterState, StoredLetter


class LetterView(BaseModel):
    """A refused message, or the items of one message that were refused for one reason."""

    key: str = Field(description="`topic:partition:offset:item` of the record it came from; item -1 is all of it.")
    state: LetterState = Field(description="`replayed`: sent again, and not refused since.")
    reason: RejectReason
    detail: str
    topic: str
    partition: int
    offset: int
    items: list[int] = Field(
        description="Ordinals of the refused items in their message; empty for a whole message. Lists have 64 at most."
    )
    item_count: int = Field(description="How many items the letter is about; 0 for a whole message.")
    first_seen_ns: int = Field(description="When the original record had arrived.")
    first_seen: str = Field(description="`first_seen_ns` as text.")
    payload_bytes: int
    payload_sha256: str
    payload_truncated: bool = Field(description="Only the first 64 KiB are kept; a replay reads the record itself.")
    decoder_version: str = Field(description="Which decoder refused it.")
    attempt: int = Field(description="How often it had been replayed when it was refused last.")
    replayed_ns: int | None = None
    replayed_partition: int | None = Field(None, description="Where the replay lies in the letter's topic.")
    replayed_offset: int | None = None

    @classmethod
    def of(cls, stored: StoredLetter) -> LetterView:
        """Return the view of a stored letter."""
        return cls(**_fields(stored))


class LetterDetail(LetterView):
    """A letter with what is kept of its payload."""

    payload_base64: str = Field(description="The bytes as they came, for items a request of just these.")

    @classmethod
    def of(cls, stored: StoredLetter) -> LetterDetail:
        """Return the view of a stored letter."""
        return cls(**_fields(stored), payload_base64=stored.letter.payload_base64)


def _fields(stored: StoredLetter) -> dict[str, object]:
    letter: DeadLetter = stored.letter
    return {
        **letter.model_dump(exclude={"tenant", "item", "payload_base64", "driven"}),
        "key": letter.key,
        "item_count": stored.item_count,
        "first_seen": rfc3339(letter.first_seen_ns),
        "state": stored.state,
        "replayed_ns": stored.replayed_ns,
        "replayed_partition": stored.replayed_partition,
        "replayed_offset": stored.replayed_offset,
    }


class LetterPage(BaseModel):
    """Dead letters, latest first."""

    items: list[LetterView]
    next_cursor: str | None = Field(None, description="Give it as `cursor` for the next page; null on the last.")
