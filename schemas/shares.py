"""Shares and confidences as people read them, in one form everywhere: ``19 %``."""

from __future__ import annotations

_NEARLY_SURE = 0.99


def share_in_words(share: float) -> str:
    """Return a share (0 to 1) in whole percent: ``19 %``."""
    return f"{100 * share:.0f} %"


def confidence_in_words(confidence: float) -> str:
    """Return a confidence (0 to 1) in whole percent; what is nearly sure is never told as certain: ``>99 %``."""
    return ">99 %" if confidence > _NEARLY_SURE else share_in_words(confidence)
