"""The plan of a replay: every message once, in order, with ticks that keep every partition telling the time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from schemas.incidents import Deploy
from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER, tenant_key
from schemas.topics import DEPLOYS, RAW_TOPICS
from sinks.kafka.producer import Message
from topologies.recordings import SIGNALS, Labels, RecordedDeploy, RecordedMessage, Recording, RecordingWriter
from topologies.replay import (
    LAST_TICK_AFTER_NS,
    SECOND_NS,
    TOPICS,
    Planned,
    default_tenant,
    paced,
    schedule,
    send_recording,
    to_record,
)  # fmt: skip

START_NS = 1_700_000_000 * SECOND_NS

recordings = st.lists(
    st.builds(
        lambda offset_ms, signal, number: RecordedMessage(
            START_NS + offset_ms * 1_000_000, SIGNALS[signal], f"{number}".encode()
        ),
        st.integers(0, 20_000),
        st.integers(0, 2),
        st.integers(0, 10**9),
    ),
    max_size=60,
).map(lambda messages: sorted(messages, key=lambda message: message.arrival_ns))


def message(second: float, signal: int = 0) -> RecordedMessage:
    """Return a message that arrived some seconds after the start."""
    return RecordedMessage(START_NS + round(second * SECOND_NS), SIGNALS[signal], b"x")


@given(recordings, st.integers(1, 4))
def test_every_message_is_sent_once_to_its_topic_in_the_order_of_arrival(
    messages: list[RecordedMessage], partitions: int
) -> None:
    """What is sent, without ticks, is the recording."""
    planned = [each for each in schedule(messages, partitions) if each.message is not None]
    assert [each.message for each in planned] == messages
    assert all(each.topic == TOPICS[each.message.signal] for each in planned if each.message)
    assert all(0 <= each.partition < partitions for each in planned)


@given(recordings, st.integers(1, 4))
def test_no_partition_is_silent_for_more_than_two_seconds_of_recording_time_and_none_goes_back(
    messages: list[RecordedMessage], partitions: int
) -> None:
    """Each partition's own arrival times rise, with gaps of two seconds at most, up to the last tick."""
    heard: dict[tuple[str, int], list[int]] = defaultdict(list)
    for planned in schedule(messages, partitions):
        heard[planned.topic, planned.partition].append(planned.arrival_ns)
    assert len(heard) == (len(RAW_TOPICS) * partitions if messages else 0)
    for arrivals in heard.values():
        assert arrivals == sorted(arrivals)
        assert arrivals[-1] == messages[-1].arrival_ns + LAST_TICK_AFTER_NS
        steps = zip([messages[0].arrival_ns, *arrivals[:-2]], arrivals[:-1], strict=False)
        assert all(later - earlier <= 2 * SECOND_NS for earlier, later in steps)


@given(recordings)
def test_the_same_recording_always_gives_the_same_plan(messages: list[RecordedMessage]) -> None:
    """A plan depends on nothing but the messages and the number of partitions."""
    assert list(schedule(messages, 4)) == list(schedule(messages, 4))


def test_messages_go_round_the_partitions_and_only_the_silent_ones_get_a_tick() -> None:
    """Two messages in a second leave two of four traces partitions to be ticked, and all of the other topics."""
    plan = list(schedule([message(0), message(0.2), message(1.5)], 4))
    assert [each.partition for each in plan if each.message] == [0, 1, 2]
    first, second = 12, 2 + 2 + 4 + 4  # ticks at the start; ticks after a second
    ticks = [each for each in plan if each.message is None]
    assert [each.arrival_ns - START_NS for each in ticks] == [0] * first + [SECOND_NS] * (second - 2) + [
        round(301.5 * SECOND_NS)
    ] * 12
    assert ("otel.traces", 0) not in [
        (each.topic, each.partition) for each in ticks if each.arrival_ns == START_NS + SECOND_NS
    ]


def test_a_record_names_its_tenant_and_its_arrival_and_a_tick_says_that_it_is_one() -> None:
    """The headers are what ingest reads."""
    sent = to_record(Planned(START_NS, "otel.logs", 3, message(0, 2)), "acme")
    assert dict(sent.headers) == {TENANT_HEADER: b"acme", ARRIVAL_HEADER: str(START_NS).encode()}
    assert (sent.topic, sent.partition, sent.value) == ("otel.logs", 3, b"x")
    tick = to_record(Planned(START_NS, "otel.logs", 3, None), "acme")
    assert dict(tick.headers)[TICK_HEADER] == b"1"
    assert tick.value == b""


async def test_the_pace_follows_the_recording_divided_by_the_speed_and_the_last_tick_does_not_wait() -> None:
    """Three seconds at speed 20 take 0.15 s and a little more; the five minutes before the last tick take nothing."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    batches = [batch async for batch in paced(schedule([message(0), message(3)], 1), 20.0)]
    took_s = loop.time() - begun_s
    assert 0.15 <= took_s < 5.0
    assert [planned for batch in batches for planned in batch] == list(schedule([message(0), message(3)], 1))


async def test_without_a_pace_batches_are_as_large_as_they_may_be() -> None:
    """Speed 0 waits for nothing but the broker, and holds at most a batch."""
    plan = list(schedule([message(number / 1000) for number in range(1200)], 1))
    sizes = [len(batch) async for batch in paced(plan, 0.0)]
    assert sizes[:2] == [500, 500]
    assert sum(sizes) == len(plan)


def test_the_default_tenant_is_the_name_of_the_folder() -> None:
    """So that replays of two recordings do not mix."""
    assert default_tenant(Path("some/where/tt-quiet")) == "replay-tt-quiet"


class Sent:
    """A producer that keeps what it is told to send."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send_many(self, messages: Iterable[Message]) -> None:
        """Keep them."""
        self.messages += messages


async def test_what_was_announced_is_sent_before_all_else_as_the_api_would(tmp_path: Path) -> None:
    """Key, header and body of `deploys.events`; then the telemetry."""
    writer = RecordingWriter(tmp_path / "deployed")
    writer.append(message(1.0), items=1)
    deploy = RecordedDeploy(service="cart", version="1.5.0", at_unix=START_NS / SECOND_NS + 1)
    writer.finish(Labels(name="deployed", start_unix=0.0, end_unix=1.0), [deploy])
    sent = Sent()
    with Recording(tmp_path / "deployed") as recording:
        await send_recording(recording, sent, partitions=1, tenant="acme")
    first = sent.messages[0]
    assert (first.topic, first.key, list(first.headers)) == (
        DEPLOYS.name,
        tenant_key("acme"),
        [(TENANT_HEADER, b"acme")],
    )
    assert Deploy.model_validate_json(first.value or b"").service == "cart"
    assert [one.topic for one in sent.messages].count(DEPLOYS.name) == 1
    assert any(one.value == b"x" for one in sent.messages[1:])
