"""Letters as records: what they keep, how they are named, and what a replay says of itself."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.dead_letters import KEPT_BYTES, MOST_KEPT_BYTES, DeadLetter, LetterKey, Replay
from schemas.errors import BadPayload, RejectReason
from schemas.keys import is_tenant
from schemas.topics import DEAD_LETTERS
from sinks.kafka.producer import Message
from streams.otlp import Reject, Signal
from streams.otlp.cutting import cut_items
from topologies.dead_letters import Origin, item_letters, message_letter

ERROR = BadPayload(RejectReason.DECODE, "no request")
ORIGIN: dict[str, Any] = {"topic": "otel.traces", "partition": 2, "offset": 40, "tenant": "acme", "arrival_ns": 7}


def letter_in(message: Message) -> DeadLetter:
    """Read a letter, whose key is the record's."""
    letter = DeadLetter.model_validate_json(message.value or b"")
    assert (message.topic, message.key) == (DEAD_LETTERS.name, letter.key.encode())
    return letter


def spans(*sizes: int) -> bytes:
    """Return a request of spans with names of these sizes."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for size in sizes:
        scope.spans.add(name="n" * size)
    return request.SerializeToString()


def bad_ids(*items: int) -> list[Reject]:
    """Return rejects of these items."""
    return [Reject(item, RejectReason.BAD_ID, f"item {item}") for item in items]


def test_message_is_kept_as_it_came() -> None:
    """Bytes, place, tenant, reason, arrival; and the item -1."""
    letter = letter_in(message_letter(Origin(**ORIGIN), b"\xffx", ERROR))
    assert letter.key == "otel.traces:2:40:-1"
    assert base64.b64decode(letter.payload_base64) == b"\xffx"
    assert (letter.tenant, letter.reason, letter.first_seen_ns, letter.attempt) == ("acme", "decode", 7, 0)


def test_large_message_keeps_a_prefix_and_stays_far_below_a_record() -> None:
    """64 KiB of it and the hash; the letter is less than a tenth of what the topic takes."""
    message = message_letter(Origin(**ORIGIN), b"z" * 4_000_000, ERROR)
    letter = letter_in(message)
    assert len(base64.b64decode(letter.payload_base64)) == KEPT_BYTES
    assert (letter.payload_truncated, letter.payload_bytes) == (True, 4_000_000)
    assert len(message.value or b"") < 100_000


def test_refused_items_of_one_reason_become_one_letter_with_just_these() -> None:
    """It is named by the first of them."""
    (message,) = item_letters(Origin(**ORIGIN), Signal.TRACES, spans(1, 2, 3, 4), bad_ids(3, 1))
    letter = letter_in(message)
    assert (letter.key, letter.items) == ("otel.traces:2:40:1", [1, 3])
    assert letter.detail == "2 items, the first: item 1"
    assert base64.b64decode(letter.payload_base64) == spans(2, 4)


def test_items_of_two_reasons_and_items_too_large_for_one_letter_become_several() -> None:
    """Each letter but that of a huge item can be sent again from what it keeps."""
    rejects = [*bad_ids(0, 1, 2), Reject(3, RejectReason.BAD_ITEM, "other")]
    payload = spans(40_000, 40_000, 100_000, 5)
    letters = [letter_in(message) for message in item_letters(Origin(**ORIGIN), Signal.TRACES, payload, rejects)]
    assert [(letter.item, letter.items, letter.payload_truncated) for letter in letters] == [
        (0, [0], False), (1, [1], False), (2, [2], True), (3, [3], False),
    ]  # fmt: skip
    assert len({letter.key for letter in letters}) == 4


def crowded(signal: Signal, count: int) -> bytes:
    """Return a request of so many items that share a resource of 66 kB, more than a letter keeps."""
    request: Any
    if signal is Signal.TRACES:
        request = ExportTraceServiceRequest()
        held = request.resource_spans.add()
        items = held.scope_spans.add().spans
    elif signal is Signal.LOGS:
        request = ExportLogsServiceRequest()
        held = request.resource_logs.add()
        items = held.scope_logs.add().log_records
    else:
        request = ExportMetricsServiceRequest()
        held = request.resource_metrics.add()
        items = held.scope_metrics.add().metrics.add(name="m").gauge.data_points
    for number in range(33):
        held.resource.attributes.add(key=f"k{number}").value.string_value = "v" * 2_000
    for _ in range(count):
        items.add()
    return request.SerializeToString()


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("reasons", [1, 3])
def test_the_letters_of_one_message_are_bounded_however_much_its_items_share(signal: Signal, reasons: int) -> None:
    """4,000 items of one resource were 350 MB. Each item is in one letter, and a replay can name all of a letter."""
    names = [RejectReason.BAD_ID, RejectReason.BAD_ITEM, RejectReason.DECODE]
    rejects = [Reject(item, names[item % reasons], "bad") for item in range(4_000)]
    payload = crowded(signal, 4_000)
    messages = item_letters(Origin(**ORIGIN), signal, payload, rejects)
    assert sum(len(message.value or b"") for message in messages) < 1.6 * MOST_KEPT_BYTES
    letters = [letter_in(message) for message in messages]
    assert sorted(item for letter in letters for item in letter.items) == list(range(4_000))
    assert len({letter.key for letter in letters}) == len(letters)
    for letter in letters:
        replay = Replay(LetterKey.parse(letter.key), 1, 7, tuple(letter.items))
        assert Replay.decode(replay.encode()) == replay
        if not letter.payload_truncated:
            kept = base64.b64decode(letter.payload_base64)
            assert kept == cut_items(signal, payload, letter.items)


def test_replay_that_is_refused_again_is_the_same_letter_with_the_next_attempt() -> None:
    """Of a whole message; of items; and of an item cut out of the original."""
    for key, items in (("otel.traces:0:5:-1", ()), ("otel.traces:0:5:3", ()), ("otel.traces:0:5:3", (3,))):
        origin = Origin(**ORIGIN, replay=Replay(LetterKey.parse(key), 2, 7, items))
        letter = letter_in(message_letter(origin, b"x", ERROR))
        assert (letter.key, letter.attempt, letter.items) == (key, 2, list(items))
        assert letter.payload_truncated == bool(items), "what it keeps has other items, too"
    origin = Origin(**ORIGIN, replay=Replay(LetterKey.parse("otel.traces:0:5:3"), 2, 7, (3,)))
    (message,) = item_letters(origin, Signal.TRACES, spans(1), bad_ids(0))
    assert (letter_in(message).key, letter_in(message).items) == ("otel.traces:0:5:3", [3])


def test_items_refused_in_a_replayed_message_are_letters_of_the_original() -> None:
    """They are where they would be had it been taken the first time."""
    origin = Origin(**ORIGIN, replay=Replay(LetterKey.parse("otel.traces:0:5:-1"), 1, 7))
    (message,) = item_letters(origin, Signal.TRACES, spans(1, 2), bad_ids(1))
    assert letter_in(message).key == "otel.traces:0:5:1"


def test_replay_header_comes_back_as_it_went() -> None:
    """With and without items."""
    for items in ((), (5,), (5, 70), tuple(range(3, 50_000, 7)), tuple(range(65)), (*range(64), 49_999)):
        replay = Replay(LetterKey("otel.logs", 1, 2**40, -1), 3, 1_700_000_000_000_000_000, items)
        assert Replay.decode(replay.encode()) == replay


@pytest.mark.parametrize(
    "value",
    [
        b"", b"\xff", b"a:1:2:3", b"a:1:2:3;1;7", b"a:1:2:3;0;7;", b"a:1:2:3;1;0;", b"a:1:2:-2;1;7;", b"a b:1:2:3;1;7;",
        b"a:1:2:3;1;99999999999999999999;", b"a:1:99999999999999999999:3;1;7;", b"a:1:9223372036854775808:3;1;7;",
        b"a:1:2:3;1;7;1,,2", b"a:1:2:3;1;7;" + b",".join([b"1"] * 65), b"a:4294967296:2:3;1;7;",
        b"a:1:2:3;1;7;bits:", b"a:1:2:3;1;7;bits:AAAA", b"a:1:2:3;1;7;bits:///", b"a:1:2:3;1;7;bits:" + b"/" * 10_928,
    ],
)  # fmt: skip
def test_nonsense_in_the_replay_header_is_no_replay(value: bytes) -> None:
    """Nobody's nonsense costs a record."""
    assert Replay.decode(value) is None


def test_nobody_can_be_called_unknown() -> None:
    """The letters of nobody would be theirs to read."""
    assert not is_tenant("unknown")
