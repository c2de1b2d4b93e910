"""Incidents alike, on a real PostgreSQL with pgvector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from store_examples import MINUTE_NS, ONSET_NS, incident_event

from schemas.errors import SetupError
from sinks.meanings import meanings_of
from sinks.postgres import incidents, resemblance
from sinks.postgres.pool import Pool
from streams.resemblance import vector_of
from topologies.reading import Reader

SLOW = {"service cart": 0.5, "suspect service cart": 2.0, "symptom self_time of cart": 0.7}
FAILING = {"service cart": 0.5, "suspect service cart": 2.0, "symptom error_rate of cart": 1.0}
ELSEWHERE = {"service mail": 0.5, "suspect service mail": 2.0, "symptom p95 of mail\0": 1.0}


async def keep(
    pool: Pool,
    number: int,
    features: dict[str, float],
    tenant: str = "acme",
    version: int = 1,
    lines: Sequence[str] = (),
) -> None:
    """Keep an incident and what it is like; each a minute after the one before."""
    onset_ns = ONSET_NS + number * MINUTE_NS
    await incidents.apply_event(pool, incident_event(f"inc-{number}", tenant=tenant, onset_ns=onset_ns))
    await resemblance.keep(pool, tenant, f"inc-{number}", version, onset_ns, features, vector_of(features), lines)


async def alike(pool: Pool, number: int, tenant: str = "acme", least: float = 0.3, limit: int = 5) -> list[str]:
    """Return the ids of earlier incidents alike."""
    found = await resemblance.alike(pool, tenant, f"inc-{number}", least=least, limit=limit)
    return [one.incident_id for one in found]


async def test_the_most_similar_earlier_incident_comes_first(pool: Pool) -> None:
    """Of one's own tenant only, never a later one; with what both have, weightiest first."""
    await keep(pool, 1, SLOW)
    await keep(pool, 2, FAILING)
    await keep(pool, 3, ELSEWHERE)
    await keep(pool, 4, SLOW, tenant="other")
    await keep(pool, 5, SLOW)
    await keep(pool, 6, SLOW)
    found = await resemblance.alike(pool, "acme", "inc-5", least=0.3, limit=5)
    assert [one.incident_id for one in found] == ["inc-1", "inc-2"]
    assert abs(found[0].similarity - 1.0) < 1e-6
    assert found[1].shared == ["suspect service cart", "service cart"]
    assert await alike(pool, 5, limit=1) == ["inc-1"]
    assert await alike(pool, 5, least=0.999) == ["inc-1"]
    assert await alike(pool, 4, tenant="other") == []
    assert await alike(pool, 99) == []


async def test_the_newest_ranking_says_what_an_incident_is_like(pool: Pool) -> None:
    """An older version that comes again changes nothing."""
    await keep(pool, 1, ELSEWHERE, version=1)
    await keep(pool, 1, SLOW, version=3)
    await keep(pool, 1, ELSEWHERE, version=2)
    await keep(pool, 2, SLOW)
    assert await alike(pool, 2) == ["inc-1"]


async def test_an_incident_without_features_is_like_no_other(pool: Pool) -> None:
    """The cosine with zeros is no number, and no error."""
    await keep(pool, 1, {})
    await keep(pool, 2, SLOW)
    await keep(pool, 3, {})
    assert await alike(pool, 2, least=0.0) == []
    assert await alike(pool, 3, least=0.0) == []


async def test_error_lines_that_mean_the_same_make_incidents_alike(pool: Pool) -> None:
    """Other services, other words; an incident with other trouble stays apart, and so does one that is not read yet."""
    await keep(pool, 1, SLOW, lines=["connection to the database refused"])
    await keep(pool, 2, SLOW, lines=["user entered a coupon that has expired"])
    await keep(pool, 3, ELSEWHERE, lines=["could not connect to postgres: connection refused"])
    assert await alike(pool, 3) == []
    await read(pool)
    found = await resemblance.alike(pool, "acme", "inc-3", least=0.1, limit=5)
    assert [one.incident_id for one in found] == ["inc-1"]
    assert found[0].by_features < 0.01
    assert found[0].by_text is not None
    assert 0.5 < found[0].by_text < 1.0
    assert 0.1 < found[0].similarity <= resemblance.TEXT_WEIGHT


async def test_lines_are_read_again_when_they_have_changed_and_settled(pool: Pool) -> None:
    """What is read is of the newest ranking; a meaning that comes too late is not kept."""
    await keep(pool, 1, SLOW, lines=["disk full"])
    assert await resemblance.unread(pool, settled_s=60.0, limit=9) == []
    (old,) = await resemblance.unread(pool, settled_s=0.0, limit=9)
    await keep(pool, 1, SLOW, version=2, lines=["disk full", "no space left on device"])
    await resemblance.keep_meanings(pool, [(old, [1.0] * 384)])
    (new,) = await resemblance.unread(pool, settled_s=0.0, limit=9)
    assert new.text == "disk full\nno space left on device"
    await resemblance.keep_meanings(pool, [(new, [1.0] * 384)])
    assert await resemblance.unread(pool, settled_s=0.0, limit=9) == []


async def test_a_model_that_does_not_run_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken installation: the cause, and the setting to do without."""
    (tmp_path / "sentence_transformers.py").write_text("raise ImportError('libtorch is not there')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(SetupError, match="libtorch is not there") as failed:
        await meanings_of(["a line"])
    assert "INCIDENTSCOPE_TEXT_SIMILARITY" in failed.value.remedy


async def read(pool: Pool) -> None:
    """Read all lines there are, with the real model."""
    assert await Reader(lambda: True, pool, settled_s=0.0).look() == 3
    assert await Reader(lambda: True, pool, settled_s=0.0).look() == 0
