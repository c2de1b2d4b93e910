"""Models as PostgreSQL takes them: JSON documents without the characters that ``text`` and ``jsonb`` refuse."""

from __future__ import annotations

import json
import re

from pydantic import BaseModel

from schemas.errors import StoreRejected

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def clean(text: str) -> str:
    """Replace NUL (refused by PostgreSQL) and lone surrogates (not UTF-8) by U+FFFD."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def int64(value: int | None) -> int | None:
    """Bring an instant that is compared with stored ones into PostgreSQL's range; the comparison stays the same."""
    return None if value is None else max(-(2**63), min(value, 2**63 - 1))


def document(model: BaseModel) -> str:
    """Return the model as JSON for a ``jsonb`` parameter. Raises `StoreRejected` for NaN and infinities."""
    try:
        return json.dumps(_cleaned(model.model_dump(mode="json")), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise StoreRejected(f"a {type(model).__name__} holds a number that JSON cannot carry") from error


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): _cleaned(item) for name, item in value.items()}
    return value
