"""No route tells one tenant of another's things: each that answers a GET, as the application lists them itself.

What is asked by ids and names of the other is 404 or empty. The other asks the same and is told, so that an answer is
empty for the right reason: a new route must be given something to tell, and a new parameter a value, or this fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from api_caller import Caller, Served
from one_of_everything import MARK, keep_everything

from api.app import create_app
from api.paths import API
from schemas.settings import Settings

OWNER, STRANGER = "t397", "t398"
"""Of nobody else's tests, which take tenants from 0 up."""

DOCUMENT = create_app(Settings(api_keys=f"key-of-{OWNER}:{OWNER}", _env_file=None)).openapi()
ROUTES: dict[str, list[dict[str, Any]]] = {
    path: methods["get"].get("parameters", [])
    for path, methods in DOCUMENT["paths"].items()
    if path.startswith(API) and "get" in methods
}
NAMELESS = {
    "after", "cause", "cursor", "indicator", "least", "limit", "reason", "severity", "since", "state", "step", "until",
    "version",
}  # fmt: skip
"""Parameters that can name nothing of a tenant; a cursor is a question of its own."""


class Neighbours(NamedTuple):
    """One who has everything, one who has nothing, and what the things of the first are asked by."""

    owner: httpx.AsyncClient
    stranger: httpx.AsyncClient
    known: dict[str, str | int]


@pytest.fixture(scope="module")
async def neighbours(served: Served) -> AsyncIterator[Neighbours]:
    """Give two tenants."""
    async with served.client(OWNER) as owner, served.client(STRANGER) as stranger:
        known = await keep_everything(Caller(OWNER, owner, served.stores, served.settings))
        yield Neighbours(owner, stranger, known)


def _names(path: str, where: str) -> set[str]:
    return {one["name"] for one in ROUTES[path] if one["in"] == where}


def _full_lists(answer: Any) -> list[Any]:
    """Return every list in an answer that is not empty."""
    if isinstance(answer, dict):
        return [found for value in answer.values() for found in _full_lists(value)]
    return [answer] if isinstance(answer, list) and answer else []


@pytest.mark.parametrize("filtered", [False, True], ids=["plain", "filtered"])
@pytest.mark.parametrize("path", sorted(ROUTES))
async def test_what_is_anothers_is_not_found_or_not_listed(neighbours: Neighbours, path: str, filtered: bool) -> None:
    """By its id or name in the path; in lists; and by every filter at once."""
    owner, stranger, known = neighbours
    url = path.format_map({name: known[name] for name in _names(path, "path")})
    filters = {name: known[name] for name in _names(path, "query") - NAMELESS} if filtered else {}
    told = await owner.get(url, params=filters)
    assert told.status_code == 200, told.text
    assert _full_lists(told.json()), "what is asked for is not there: let `keep_everything` keep something of it"
    refused = await stranger.get(url, params=filters)
    assert refused.status_code in (200, 404), refused.text
    assert _full_lists(refused.json()) == []
    assert MARK not in refused.text


@pytest.mark.parametrize("path", [path for path in sorted(ROUTES) if "cursor" in _names(path, "query")])
async def test_a_cursor_of_anothers_page_leads_to_nothing_of_theirs(neighbours: Neighbours, path: str) -> None:
    """It says where a page ended, not whose it was."""
    owner, stranger, _ = neighbours
    cursor = (await owner.get(path, params={"limit": 1})).json()["next_cursor"]
    assert (await owner.get(path, params={"cursor": cursor})).json()["items"]
    answer = await stranger.get(path, params={"cursor": cursor})
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})
