"""``incidentscope rank``: a stored ranking, made again from its snapshot by the weights it was made with.

::

    PostgreSQL ─┬─ snapshot ─▶ weights_of ─▶ rank ─┬─▶ the same figures, to the last digit?
                └─ ranking ────────────────────────┘
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from schemas.errors import NotFound, SetupError
from schemas.incidents import Hypothesis, HypothesisSet
from schemas.settings import Settings
from schemas.shares import confidence_in_words
from schemas.snapshots import RankingSnapshot
from sinks.postgres import incidents, rankings
from sinks.postgres.pool import Pool, open_pool
from streams.hypotheses import WEIGHTS, rank, weights_of

_PAGE_WIDTH = 140


@dataclass(frozen=True, slots=True)
class Again:
    """A stored ranking, what it was made from, and what is made of that now by the same weights."""

    stored: HypothesisSet
    snapshot: RankingSnapshot
    made: HypothesisSet

    @property
    def is_same(self) -> bool:
        """Whether all figures are the stored ones, to the last digit."""
        return figures_of(self.made) == figures_of(self.stored)


async def make_again(pool: Pool, tenant: str, incident: str, version: int | None = None) -> Again:
    """Make a ranking of an incident again: the newest, or that of `version`.

    Raises `NotFound` when there is none, or its weights are neither kept with it nor known to this build.
    """
    key = (await incidents.get(pool, tenant, incident)).current.incident_id
    stored = await rankings.get(pool, tenant, key, version=version)
    snapshot = await rankings.snapshot(pool, tenant, key, version=stored.version)
    return Again(stored, snapshot, rank(snapshot, weights_of(snapshot, stored.weights_version)))


async def compare(settings: Settings, tenant: str, incident: str, version: int | None, *, is_today_shown: bool) -> bool:
    """Show a stored ranking made again; return whether its figures are the stored ones. Raises `SetupError`."""
    console = Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
    try:
        async with await open_pool(settings, max_connections=1) as pool:
            again = await make_again(pool, tenant, incident, version)
    except NotFound as error:
        raise SetupError(str(error), "`GET /api/v1/incidents` lists the incidents of a tenant") from error
    show(again.made, console)
    console.print("the same as stored" if again.is_same else "NOT the same as stored:", highlight=False)
    if not again.is_same:
        show(again.stored, console)
    if is_today_shown:
        show(rank(again.snapshot, WEIGHTS), console)
    return again.is_same


def figures_of(ranking: HypothesisSet) -> tuple[object, ...]:
    """Return all numbers of a ranking, and whom they are of. The words around them, as what kind it is, may change."""
    return ranking.weights_version, ranking.version, *(_figures(one) for one in ranking.hypotheses)


def _figures(one: Hypothesis) -> tuple[object, ...]:
    parts = tuple((part.name, part.value, part.weight, part.contribution) for part in one.parts)
    which = (one.edge_client, one.instance, one.operation, one.deploy_id, one.place)
    return one.rank, one.service, one.score, one.confidence, *which, parts


def show(ranking: HypothesisSet, console: Console) -> None:
    """Print the suspects with the sum that each score is."""
    table = Table("", "suspect", "score", "chance", "parts")
    for one in ranking.hypotheses:
        parts = " + ".join(f"{part.name} {part.value:g} x {part.weight:g}" for part in one.parts)
        table.add_row(str(one.rank), one.title, f"{one.score:g}", confidence_in_words(one.confidence), parts)
    console.print(f"version {ranking.version}, weights {ranking.weights_version}", highlight=False)
    console.print(table)
