"""Rankings and the snapshots they were made from, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from store_examples import ONSET_NS, ranking, snapshot

from schemas.errors import NotFound
from sinks.postgres import rankings
from sinks.postgres.pool import Pool
from streams.hypotheses import rank


async def test_the_largest_version_of_a_ranking_counts(pool: Pool) -> None:
    """Out of order and twice: the newest stays, and each version can be asked for."""
    for version in (2, 3, 1, 2):
        await rankings.put(pool, ranking(version=version, service=f"s{version}"), snapshot())
    assert not await rankings.put(pool, ranking(version=3, service="another"), snapshot())
    assert await rankings.get(pool, "acme", "inc-a") == ranking(version=3, service="s3")
    assert await rankings.get(pool, "acme", "inc-a", version=1) == ranking(version=1, service="s1")
    await rankings.put(pool, ranking("inc-b", version=9), snapshot())
    newest = await rankings.newest(pool, "acme", ["inc-a", "inc-b", "inc-c"])
    assert {name: found.version for name, found in newest.items()} == {"inc-a": 3, "inc-b": 9}


async def test_a_stored_snapshot_ranks_to_the_stored_hypotheses(pool: Pool) -> None:
    """To the last digit, also with numbers that are no round decimals."""
    awkward = snapshot(nodes=[snapshot().nodes[0].model_copy(update={"surge": 0.1 + 0.2, "requests": 2**53 + 1})])
    made = rank(awkward)
    assert made.hypotheses[0].service == "cart"
    assert await rankings.put(pool, made, awkward)
    read = await rankings.snapshot(pool, "acme", "inc-a", version=1)
    assert read == awkward
    assert rank(read) == await rankings.get(pool, "acme", "inc-a", version=1) == made


async def test_the_snapshot_is_that_of_the_ranking_that_was_kept(pool: Pool) -> None:
    """A replay that ranks the same version again leaves both alone."""
    await rankings.put(pool, ranking(version=1), snapshot())
    assert not await rankings.put(pool, ranking(version=1, service="another"), snapshot(onset_ns=ONSET_NS + 1))
    assert (await rankings.snapshot(pool, "acme", "inc-a")).onset_ns == ONSET_NS
    with pytest.raises(NotFound):
        await rankings.snapshot(pool, "acme", "inc-a", version=2)
    with pytest.raises(NotFound):
        await rankings.snapshot(pool, "other", "inc-a")
