"""The product as a user sees it: its REST API, nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from schemas.incidents import Hypothesis

API = "/api/v1"
SPANS = re.compile(r'^incidentscope_api_otlp_items_total\{(?=[^}]*signal="traces")[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class SeenService:
    """A service as the list of services shows it."""

    service: str
    baseline: str | None
    """``learning``, ``reliable`` or ``quiet``."""
    requests_per_s: float


@dataclass(frozen=True, slots=True)
class ListedIncident:
    """An incident as the list of incidents shows it."""

    incident_id: str
    opened_ns: int
    state: str
    title: str


def opened_in_calm(incidents: Iterable[ListedIncident], begun_ns: int, injected_ns: int) -> list[ListedIncident]:
    """Return what was opened while nothing was wrong: after the beginning of a warm-up, before a fault."""
    return [one for one in incidents if begun_ns < one.opened_ns < injected_ns]


@dataclass(frozen=True, slots=True)
class SeenIncident:
    """An incident as its overview shows it."""

    incident_id: str
    name: str
    title: str
    state: str
    severity: str
    opened_ns: int
    resolve_reason: str | None
    hypotheses: list[Hypothesis]
    story: str


class FrontDoor:
    """A client of the API; use as an async context manager. Raises `httpx.HTTPError` when it does not answer."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=10.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def services(self) -> list[SeenService]:
        """Return all services of the current picture."""
        answer = await self._get(f"{API}/services")
        return [
            SeenService(item["service"], item["baseline"], item["window"]["rate_per_s"])
            for item in answer["items"]
            if item["node_kind"] == "service"
        ]

    async def incidents(self, opened_after_ns: int = 0) -> list[ListedIncident]:
        """Return the incidents opened after an instant, the first opened first."""
        answer = await self._get(f"{API}/incidents", limit=50)
        found = [
            ListedIncident(item["incident_id"], item["opened_ns"], item["state"], item["title"])
            for item in answer["items"]
        ]
        return sorted((one for one in found if one.opened_ns > opened_after_ns), key=lambda one: one.opened_ns)

    async def incident(self, incident_id: str) -> SeenIncident:
        """Return the overview of an incident."""
        answer = await self._get(f"{API}/incidents/{incident_id}/overview")
        incident = answer["incident"]
        return SeenIncident(
            incident_id=incident["incident_id"],
            name=incident["name"],
            title=incident["title"],
            state=incident["state"],
            severity=incident["severity"],
            opened_ns=incident["opened_ns"],
            resolve_reason=incident["resolve_reason"],
            hypotheses=[Hypothesis.model_validate(item) for item in answer["ranking"]["hypotheses"]],
            story=answer["story"]["summary"],
        )

    async def announce_deploy(self, service: str, version: str, kind: str = "deploy") -> None:
        """Tell the product that a version went live, as a deployment job does; ``kind`` is deploy or rollback."""
        body = {"service": service, "version": version, "environment": "demo", "kind": kind}
        (await self._client.post(f"{API}/deploys", json=body)).raise_for_status()

    async def spans_received(self) -> float:
        """Return how many spans the product was sent since it started."""
        answer = await self._client.get("/metrics")
        answer.raise_for_status()
        return sum(float(count) for count in SPANS.findall(answer.text))

    async def _get(self, path: str, **query: int | str) -> Any:
        answer = await self._client.get(path, params=query)
        answer.raise_for_status()
        return answer.json()
