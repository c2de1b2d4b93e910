"""The commit floor: the smallest offset anybody still needs."""

import pytest
from faust.types import TP

from topologies.offsets import Floors

TRACES_0 = TP("otel.traces", 0)
HEALTH_0 = TP("health", 0)


def floors_of(*readers: tuple[str, str]) -> Floors:
    """Return floors whose stages have been declared, in generation 1."""
    floors = Floors()
    for stage, topic in readers:
        floors.reader(stage, topic)
    floors.begin(1)
    return floors


def test_floor_is_the_next_offset_when_nothing_is_needed() -> None:
    """A stage without state commits all it has handled."""
    floors = floors_of(("ingest", "otel.traces"))
    floors.report("ingest", TRACES_0, 1, next_offset=412, needed=None)
    assert floors.floor(TRACES_0) == 412


def test_floor_trails_to_what_is_still_needed() -> None:
    """The floor stays behind, the position does not."""
    floors = floors_of(("ingest", "otel.traces"))
    floors.report("ingest", TRACES_0, 1, next_offset=412, needed=380)
    assert floors.floor(TRACES_0) == 380
    assert floors.position(TRACES_0) == 412


def test_floor_of_two_readers_is_the_smaller_one_and_unknown_until_both_reported() -> None:
    """A silent reader may need anything."""
    floors = floors_of(("baselines", "health"), ("slo", "health"))
    floors.report("baselines", HEALTH_0, 1, next_offset=50, needed=None)
    assert floors.floor(HEALTH_0) is None
    floors.report("slo", HEALTH_0, 1, next_offset=40, needed=None)
    assert floors.floor(HEALTH_0) == 40
    assert floors.position(HEALTH_0) == 40


def test_report_of_an_earlier_generation_is_ignored() -> None:
    """A batch that outlived a rebalance must not move the new floor."""
    floors = floors_of(("ingest", "otel.traces"))
    floors.begin(2)
    floors.report("ingest", TRACES_0, 1, next_offset=412, needed=None)
    assert floors.floor(TRACES_0) is None


def test_rebalance_forgets_all_floors() -> None:
    """All partitions are rewound, so no floor of before holds."""
    floors = floors_of(("ingest", "otel.traces"))
    floors.report("ingest", TRACES_0, 1, next_offset=412, needed=None)
    floors.begin(2)
    assert list(floors.partitions()) == []
    assert floors.floor(TRACES_0) is None


def test_floor_never_passes_the_position_even_if_a_stage_claims_so() -> None:
    """A wrong claim must not commit unread records."""
    floors = floors_of(("ingest", "otel.traces"))
    floors.report("ingest", TRACES_0, 1, next_offset=10, needed=99)
    assert floors.floor(TRACES_0) == 10


def test_undeclared_stage_may_not_report() -> None:
    """A floor nobody waits for would be committed too early."""
    floors = floors_of(("ingest", "otel.traces"))
    with pytest.raises(ValueError, match="never said"):
        floors.report("edges", TRACES_0, 1, next_offset=1, needed=None)
