"""Every exception this project raises on purpose.

::

    IncidentScopeError
    ├── BadPayload            a whole message is unusable: dead-lettered with its reason
    ├── StoreError            a store did not do what it was asked
    │   ├── StoreUnavailable  it may succeed later: retry with backoff, stop reading, never skip
    │   └── StoreRejected     it never will: a bug of ours, the worker stops
    ├── NotFound              no such thing for this tenant (also another tenant's thing)
    ├── Conflict              the thing is not in a state that allows this
    ├── SetupError            something is missing or wrong before start; says what to do
    └── WorkerFailedError     a worker ended unasked: whoever watches over it starts it again
"""

from __future__ import annotations

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a message or an item was refused: the closed list of dead-letter reasons."""

    DECODE = "decode"
    BAD_ITEM = "bad_item"
    WRONG_SIGNAL = "wrong_signal"
    TOO_LARGE = "too_large"
    NULL_VALUE = "null_value"
    BAD_ID = "bad_id"
    BAD_HISTOGRAM = "bad_histogram"
    BAD_TEMPORALITY = "bad_temporality"
    BAD_TENANT = "bad_tenant"
    TOO_MANY_ITEMS = "too_many_items"


class IncidentScopeError(Exception):
    """The root of all of them."""


class BadPayload(IncidentScopeError):
    """A whole message is unusable.

    ``detail`` is at most 500 characters and holds nothing of the payload's values.
    """

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:500]

    def __reduce__(self) -> tuple[type[BadPayload], tuple[RejectReason, str]]:
        """Let it cross a process boundary: by default only the message would be handed to ``__init__``."""
        return type(self), (self.reason, self.detail)


class StoreError(IncidentScopeError):
    """A store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store may succeed later."""


class StoreRejected(StoreError):
    """The store understood the request and will never accept it."""


class NotFound(IncidentScopeError):
    """No such thing for this tenant."""


class Conflict(IncidentScopeError):
    """The thing is not in a state that allows this."""


class SetupError(IncidentScopeError):
    """Something is missing or wrong before start; ``remedy`` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[SetupError], tuple[str, str]]:
        """Let it cross a process boundary: by default only the message would be handed to ``__init__``."""
        return type(self), (self.problem, self.remedy)


class WorkerFailedError(IncidentScopeError):
    """The worker came to an end that nobody asked for. A supervisor should start it again."""
