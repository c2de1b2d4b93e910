"""Progress is told once, checkpoints never go back."""

import pytest

from schemas.keys import PROGRESS_KEY
from schemas.topics import ROLLUPS
from streams.progress import Progress
from topologies.progressing import LONGEST_PAUSE_S, Broadcast, Pacer, Share, latest

SECOND = 1_000_000_000


def test_progress_goes_to_every_partition_of_the_next_topic() -> None:
    """One record a partition, with the key that readers of data skip."""
    messages = Broadcast(ROLLUPS, range(3)).messages(Progress("otel.traces/0", 5 * SECOND))
    assert [message.partition for message in messages] == [0, 1, 2]
    assert {(message.topic, message.key) for message in messages} == {("telemetry.rollups", PROGRESS_KEY)}
    assert Progress.decode(messages[0].value or b"").wall_ns == 5 * SECOND


def test_progress_by_less_than_a_second_is_no_news() -> None:
    """Standing nearly still costs no records; a driven tenant's step always does."""
    broadcast = Broadcast(ROLLUPS, range(1))
    assert broadcast.messages(Progress("s", 5 * SECOND))
    assert not broadcast.messages(Progress("s", 5 * SECOND + SECOND // 2))
    assert broadcast.messages(Progress("s", 6 * SECOND))
    assert broadcast.messages(Progress("s", 6 * SECOND, {"replayed": 1}))
    assert not broadcast.messages(Progress("s", 6 * SECOND, {"replayed": 1}))


def test_checkpoint_of_a_fold_that_knows_less_does_not_go_back() -> None:
    """What was closed stays closed, for the wall and for every replayed tenant."""
    kept = latest(Progress("s", 100, {"a": 50, "b": 70}), Progress("s", 0, {"a": 60}))
    assert kept == Progress("s", 100, {"a": 60, "b": 70})


def test_checkpoint_keeps_when_each_replay_was_heard_of_last() -> None:
    """The newer word counts; of who is not in it, the older one."""
    kept = latest(Progress("s", 100, {"a": 50, "b": 70}, {"a": 90, "b": 80}), Progress("s", 110, {"a": 60}, {"a": 105}))
    assert kept.driven_wall_ns == {"a": 105, "b": 80}


def test_flushes_of_all_lanes_have_a_bounded_share_of_the_time() -> None:
    """One of two lanes took 10 ms: both may again when 16 times 20 ms are over, however many partitions there are."""
    share = Share()
    assert share.pause_s == 0.0
    share.took([0.01], lanes=2)
    assert share.pause_s == pytest.approx(0.32)
    share.took([], lanes=2)
    assert share.pause_s == pytest.approx(0.32)
    share.took([0.02, 0.04], lanes=4)
    assert share.pause_s == pytest.approx(1.92)
    share.took([0.1], lanes=100)
    assert share.pause_s == LONGEST_PAUSE_S


def test_an_interval_can_be_longer_than_usual() -> None:
    """What costs much is due later; the usual interval is the least."""
    pacer = Pacer(0.0)
    assert pacer.due()
    assert not pacer.due(at_least_s=3600.0)
    assert pacer.due()
