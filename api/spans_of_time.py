"""The span of time that a series is asked for: one dependency of every route that answers with panes."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from fastapi import Depends, Query

from api.parameters import Instant, check_span
from api.problems import FieldError, Problem, Slug
from api.resources import WallNs

HOUR_NS: Final = 3600 * 1_000_000_000
LONGEST_NS: Final = 24 * HOUR_NS


class _Span(NamedTuple):
    """From the first pane to before the end, Unix nanoseconds."""

    start_ns: int
    end_ns: int


def _span(
    wall_ns: WallNs,
    start: Annotated[Instant | None, Query(description="First pane; an hour before the end if not given.")] = None,
    end: Annotated[Instant | None, Query(description="Panes before this instant; now if not given.")] = None,
) -> _Span:
    """Return the time that is asked for: an hour, and until now, if not said otherwise. Raises `Problem` (422)."""
    end_ns = end if end is not None else (wall_ns if start is None else start + HOUR_NS)
    start_ns = start if start is not None else max(0, end_ns - HOUR_NS)
    check_span(start_ns, end_ns, "start", "end")
    if end_ns - start_ns > LONGEST_NS:
        detail = "At most 24 hours at once."
        raise Problem(Slug.INVALID, detail, errors=[FieldError(where="query.start", detail=detail)])
    return _Span(start_ns, end_ns)


PaneSpan = Annotated[_Span, Depends(_span)]
"""Query parameters ``start`` and ``end``, at most 24 hours apart."""
