"""Rankings of earlier weights, made again from their snapshots (`tests/data/rankings`, one file a version)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from schemas.errors import NotFound
from schemas.incidents import HypothesisSet
from schemas.snapshots import RankingSnapshot, Weights
from streams.hypotheses import WEIGHTS, rank, weights_of

KEPT = Path(__file__).parents[1] / "data" / "rankings"


def kept() -> Iterator[tuple[str, RankingSnapshot, HypothesisSet]]:
    """Yield every kept ranking with what it was made from, under the version and the scenario it is of."""
    for file in sorted(KEPT.glob("*.jsonl.zst")):
        for line in zstandard.ZstdDecompressor().decompress(file.read_bytes()).decode().splitlines():
            one = json.loads(line)
            snapshot = RankingSnapshot.model_validate(one["snapshot"])
            yield f"{file.name} {one['scenario']}", snapshot, HypothesisSet.model_validate(one["ranking"])


RANKINGS = {name: (snapshot, ranking) for name, snapshot, ranking in kept()}


def figures(ranking: HypothesisSet) -> list[tuple[object, ...]]:
    """Return all numbers of a ranking, which words may change around."""
    return [
        (one.rank, one.service, one.score, one.confidence, one.place, one.instance, one.operation,
         [(part.name, part.value, part.weight, part.contribution) for part in one.parts])
        for one in ranking.hypotheses
    ]  # fmt: skip


def others(weights: Weights, **of: float) -> Weights:
    """Return weights of another version with other numbers."""
    return weights.model_copy(update={"version": "another", "of": dict(weights.of) | of, "certainty": 1.0})


@pytest.mark.parametrize("name", RANKINGS)
def test_a_ranking_of_earlier_weights_is_made_again_to_the_last_digit(name: str) -> None:
    """Red when a number of those weights, or what a part of that name means, was changed."""
    snapshot, ranking = RANKINGS[name]
    again = rank(snapshot, weights_of(snapshot, ranking.weights_version))
    assert figures(again) == figures(ranking)
    assert again.weights_version == ranking.weights_version


def test_the_weights_of_this_build_have_rankings_that_are_kept() -> None:
    """Who changes weights keeps some rankings of the new ones, so that they can be changed again."""
    assert any(ranking.weights_version == WEIGHTS.version for _, ranking in RANKINGS.values())


def test_a_snapshot_takes_its_weights_with_it() -> None:
    """They count before those of the build, also through JSON."""
    snapshot, ranking = next(iter(RANKINGS.values()))
    own = others(WEIGHTS, first=0.0, self_time=3.7)
    taken = RankingSnapshot.model_validate_json(snapshot.model_copy(update={"weights": own}).model_dump_json())
    made = rank(taken)
    assert made == rank(taken, weights_of(taken, "unknown to this build"))
    assert made.weights_version == "another"
    assert figures(made) != figures(ranking)


def test_a_part_that_came_later_is_no_part_of_an_earlier_score() -> None:
    """Weights that do not name it give what they gave."""
    snapshot, _ = next(iter(RANKINGS.values()))
    without = WEIGHTS.model_copy(update={"of": {name: of for name, of in WEIGHTS.of.items() if name != "first"}})
    named = {part.name for one in rank(snapshot, without).hypotheses for part in one.parts}
    assert "first" in {part.name for one in rank(snapshot, WEIGHTS).hypotheses for part in one.parts}
    assert "first" not in named


def test_weights_that_nobody_kept_are_told_as_unknown() -> None:
    """Rather than ranked by others."""
    snapshot, _ = next(iter(RANKINGS.values()))
    with pytest.raises(NotFound, match="2019-01-a"):
        weights_of(snapshot.model_copy(update={"weights": None}), "2019-01-a")
