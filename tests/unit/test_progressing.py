"""Progress is told once, checkpoints never go back."""

from schemas.keys import PROGRESS_KEY
from schemas.topics import ROLLUPS
from streams.progress import Progress
from topologies.progressing import Broadcast, latest

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
