"""`incidentscope rank` on a real PostgreSQL: stored rankings are made again by the weights they were made with."""

from __future__ import annotations

import pytest
from store_examples import incident_event, ranking, snapshot

from schemas.errors import NotFound
from sinks.postgres import incidents, rankings
from sinks.postgres.pool import Pool
from streams.hypotheses import WEIGHTS, rank
from topologies.ranking_again import make_again


async def test_a_ranking_of_weights_that_nobody_has_any_more_is_made_again(pool: Pool) -> None:
    """The snapshot has them; those of this build, of the version before, give other figures."""
    await incidents.apply_event(pool, incident_event())
    odd = {"version": "1999-a", "of": dict(WEIGHTS.of) | {"self_time": 0.1 + 0.2}, "certainty": 1 / 3}
    taken = [snapshot(weights=WEIGHTS.model_copy(update=odd)), snapshot(version=2)]
    for one in taken:
        await rankings.put(pool, rank(one), one)
    for version, weights in ((1, "1999-a"), (2, WEIGHTS.version), (None, WEIGHTS.version)):
        again = await make_again(pool, "acme", "inc-a", version)
        assert again.is_same
        assert again.made == again.stored
        assert again.made.weights_version == weights
    assert (await make_again(pool, "acme", "inc-a", 1)).made.hypotheses != rank(taken[1]).hypotheses


async def test_a_ranking_that_cannot_be_made_again_says_so(pool: Pool) -> None:
    """Other figures than those stored, and weights of which only the name is left."""
    await incidents.apply_event(pool, incident_event())
    made = rank(snapshot(version=1))
    forged = made.hypotheses[0].model_copy(update={"score": made.hypotheses[0].score + 0.0001})
    await rankings.put(pool, made.model_copy(update={"hypotheses": [forged]}), snapshot(version=1))
    assert not (await make_again(pool, "acme", "inc-a", 1)).is_same
    await rankings.put(pool, ranking(version=2), snapshot(version=2))
    with pytest.raises(NotFound, match="weights w1"):
        await make_again(pool, "acme", "inc-a")
    with pytest.raises(NotFound):
        await make_again(pool, "acme", "inc-a", 7)
