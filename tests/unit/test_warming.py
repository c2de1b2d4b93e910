"""After the warm-up nothing that judges is left to be compiled: a worker would stand still for it in an incident."""

from __future__ import annotations

import numpy as np
import pytest
from made_health import edge, health

from streams.baselines import BaselineFold
from streams.baselines.kernels import better_since, center, describe
from streams.baselines.normals import Normals
from streams.kernels.compiled import IS_COMPILED
from streams.points import PointConfig, surprises
from streams.points.surprise import _strangeness
from streams.warming import warm_up_judging

KERNELS = (describe, center, better_since, _strangeness)


def signatures() -> list[int]:
    """Return how many sets of types each kernel was compiled for, or loaded."""
    return [len(kernel.signatures) for kernel in KERNELS]


@pytest.mark.skipif(not IS_COMPILED, reason="nothing is compiled here")
def test_what_judges_panes_and_points_is_compiled_by_the_warm_up_and_for_one_set_of_types() -> None:
    """Hours of panes of a service with callers that slows down and falls silent, and series of several lengths."""
    warm_up_judging()
    assert signatures() == [1] * len(KERNELS)
    fold, state, noise = BaselineFold(), None, np.random.default_rng(1)
    for pane in range(620):
        own_ms, requests = float(noise.lognormal(3 if pane < 60 else 0)), 50 if pane < 360 else 0
        callers = [edge("shop", requests, gap_ms=own_ms)]
        state, _ = fold.step(state, health("cart", pane, requests, own_ms=own_ms, edges=callers))
    normals, past = Normals(), np.ones((3, 100), np.float32)
    normals.keep(1, "rate", past, 60)
    for held in (normals, Normals.unpacked(normals.packed())):
        [kept] = [one for one in (held.before("rate", 2),) if one is not None]
        center(kept.cells[0])
    for points in (5, 40, 500):
        surprises(noise.normal(size=points), PointConfig())
        surprises(np.ones(points), PointConfig())
    assert signatures() == [1] * len(KERNELS)
