"""The clocks: the smallest progress counts, a replay has its own, and nothing goes back."""

from __future__ import annotations

from schemas.losses import LossReason
from streams.progress import DRIVEN_EXPIRES_NS, MAX_DRIVEN, Progress, ProgressClock, SourceClock, later, reading_of


def test_a_source_clock_never_goes_back() -> None:
    """Producers' timestamps may."""
    clock = SourceClock("otel.traces/0")
    for wall_ns in (5, 9, 7):
        clock.observe(wall_ns)
    assert clock.progress() == Progress("otel.traces/0", 9, {})


def test_a_replayed_tenant_reads_recorded_time_and_others_the_wall() -> None:
    """The same records move both clocks."""
    clock = SourceClock("otel.traces/0")
    clock.observe(1_000, "replay", 30)
    clock.observe(1_001, "replay", 20)
    clock.observe(1_002)
    assert (clock.at("replay"), clock.at("live")) == (30, 1_002)
    assert clock.progress().driven == {"replay": 30}


def test_a_replay_that_has_been_silent_for_an_hour_is_over() -> None:
    """Then the tenant is on the wall clock again, everywhere."""
    source = SourceClock("a")
    reader = ProgressClock(["a"])
    source.observe(1_000, "replay", 30)
    reader.step(source.progress())
    source.observe(1_000 + DRIVEN_EXPIRES_NS)
    reader.step(source.progress())
    assert source.is_driven("replay")
    assert reader.at("replay") == 30
    source.observe(2_000 + DRIVEN_EXPIRES_NS)
    reader.step(Progress("a", 2_000 + 2 * DRIVEN_EXPIRES_NS))
    assert not source.is_driven("replay")
    assert reader.at("replay") == 2_000 + 2 * DRIVEN_EXPIRES_NS


def test_too_many_replays_at_once_are_counted_and_stay_on_the_wall_clock() -> None:
    """The number of driven tenants is bounded."""
    clock = SourceClock("a")
    for number in range(MAX_DRIVEN + 2):
        clock.observe(50, f"t{number}", 7)
    assert len(clock.progress().driven) == MAX_DRIVEN
    assert {loss.reason for loss in clock.drain_losses()} == {LossReason.DRIVEN_OVERFLOW}
    assert clock.at(f"t{MAX_DRIVEN + 1}") == 50


def test_a_reader_is_as_far_as_its_slowest_source() -> None:
    """And at 0 until every expected source has reported; strangers are ignored."""
    clock = ProgressClock(["a", "b"])
    clock.step(Progress("a", 10))
    assert (clock.at("t"), clock.missing) == (0, ["b"])
    clock.step(Progress("b", 7))
    clock.step(Progress("b", 3))
    assert (clock.at("t"), clock.missing) == (7, [])
    assert not clock.step(Progress("c", 1))
    assert clock.wall_ns == 7


def test_a_replay_needs_progress_from_every_source() -> None:
    """Wall time of the others does not stand in for it."""
    clock = ProgressClock(["a", "b"])
    clock.step(Progress("a", 100, {"replay": 40}))
    clock.step(Progress("b", 100))
    assert (clock.at("replay"), clock.at("live")) == (0, 100)
    clock.step(Progress("b", 101, {"replay": 30}))
    assert clock.at("replay") == 30


def test_data_can_mark_a_replay_before_any_progress_names_it() -> None:
    """Else its old panes would close at once by the wall clock."""
    clock = ProgressClock(["a"])
    clock.step(Progress("a", 100))
    clock.mark_driven("replay")
    assert clock.at("replay") == 0


def test_the_next_stage_is_told_less_what_this_one_holds_back() -> None:
    """Never below 0."""
    clock = ProgressClock(["a"])
    clock.step(Progress("a", 100, {"replay": 30}))
    assert clock.progress("next/0", delay_ns=40) == Progress("next/0", 60, {"replay": 0})


def test_a_saved_clock_reads_nothing_for_a_replay_it_has_not_seen() -> None:
    """Its wall time would close the replay's panes."""
    saved = Progress("a", 100, {"old": 30})
    assert reading_of(saved, "old", driven=True) == 30
    assert reading_of(saved, "new", driven=True) == 0
    assert reading_of(saved, "live", driven=False) == 100
    assert reading_of(None, "live", driven=False) == 0


def test_of_two_readings_the_further_is_kept_tenant_by_tenant() -> None:
    """A clock that starts again after a restart does not take back what was committed."""
    assert later(Progress("a", 5, {"x": 9}), Progress("a", 7, {"x": 3, "y": 1})) == Progress("a", 7, {"x": 9, "y": 1})


def test_progress_survives_the_wire() -> None:
    """Written and read."""
    progress = Progress("otel.traces/0", 1_700_000_000_000_000_000, {"replay": 3})
    assert Progress.decode(progress.encode()) == progress
    kept = Progress("otel.traces/0", 5, {"replay": 3}, {"replay": 4})
    assert Progress.decode(kept.encode()) == kept


def test_a_source_clock_starts_with_what_was_told_of_replays() -> None:
    """And goes on from there; of whom it is not kept when they were heard of last, nothing."""
    clock = SourceClock("a", Progress("a", 100, {"replay": 30, "unknown": 20}, {"replay": 90}))
    assert (clock.wall_ns, clock.progress().driven) == (0, {"replay": 30})
    clock.observe(101, "replay", 25)
    assert (clock.at("replay"), clock.driven_wall_ns()) == (30, {"replay": 101})
