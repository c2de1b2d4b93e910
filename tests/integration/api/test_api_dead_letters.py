"""Dead letters over HTTP: pages, one letter, a replay; and never another tenant's."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from api_caller import Caller, records_of

from schemas.dead_letters import REPLAY_HEADER, DeadLetter, LetterKey, Replay
from schemas.errors import RejectReason
from sinks.postgres import dead_letters

SEEN_NS = 1_795_426_200 * 1_000_000_000
PAYLOAD = b"\xff not a request"


def letter(caller: Caller, offset: int, **changes: Any) -> DeadLetter:
    """Return a letter of the caller; partitions keep tenants apart on the shared table."""
    fields = {
        "topic": "otel.traces",
        "partition": 0,
        "offset": int(caller.tenant[1:]) * 1_000 + offset,
        "tenant": caller.tenant,
        "reason": RejectReason.DECODE,
        "detail": "no request",
        "payload_sha256": hashlib.sha256(PAYLOAD).hexdigest(),
        "payload_bytes": len(PAYLOAD),
        "payload_base64": base64.b64encode(PAYLOAD).decode(),
        "decoder_version": "otlp-1",
        "first_seen_ns": SEEN_NS + offset,
    }
    return DeadLetter.model_validate(fields | changes)


async def test_letters_come_in_pages_latest_first_and_filtered(acme: Caller) -> None:
    """Each once, by reason, topic, state and time."""
    kept = [letter(acme, number, reason="decode" if number % 2 else "bad_id") for number in range(7)]
    await dead_letters.store(acme.stores.postgres, kept)
    seen, cursor = [], None
    while True:
        page = (await acme.get("/dead-letters", limit=3, **({"cursor": cursor} if cursor else {}))).json()
        seen += [item["key"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [one.key for one in reversed(kept)]
    wanted = {"reason": "bad_id", "topic": "otel.traces", "state": "open", "since": SEEN_NS + 1, "until": SEEN_NS + 6}
    found = (await acme.get("/dead-letters", **wanted)).json()["items"]
    assert [item["offset"] % 1_000 for item in found] == [4, 2]
    assert (await acme.get("/dead-letters", state="replayed")).json()["items"] == []
    assert (await acme.get("/dead-letters", reason="bad_mood")).status_code == 422


async def test_letter_shows_its_payload_to_its_tenant_only(acme: Caller, other: Caller) -> None:
    """Another tenant's letter does not exist, neither to look at nor to send again."""
    (kept,) = [letter(acme, 1)]
    await dead_letters.store(acme.stores.postgres, [kept])
    found = (await acme.get(f"/dead-letters/{kept.key}")).json()
    assert base64.b64decode(found["payload_base64"]) == PAYLOAD
    assert (found["state"], found["reason"], found["attempt"]) == ("open", "decode", 0)
    assert (await other.get(f"/dead-letters/{kept.key}")).status_code == 404
    assert (await other.http.post(f"/api/v1/dead-letters/{kept.key}/replay")).status_code == 404
    assert (await other.get("/dead-letters")).json()["items"] == []


@pytest.mark.parametrize("key", ["nonsense", "otel.traces:0:1", "otel.traces:0:99999999999999999999:-1", "%00:1:2:3"])
async def test_what_names_no_letter_is_a_clients_mistake(acme: Caller, key: str) -> None:
    """400, 404 or 422, never 5xx."""
    for response in (
        await acme.get(f"/dead-letters/{key}"),
        await acme.http.post(f"/api/v1/dead-letters/{key}/replay"),
    ):
        assert response.status_code in (400, 404, 422)


async def test_replay_puts_the_original_on_its_topic_once(acme: Caller) -> None:
    """With the header that says whose replay it is; a second request is a conflict, and sends nothing."""
    kept = letter(acme, 1)
    await dead_letters.store(acme.stores.postgres, [kept])
    path = f"/api/v1/dead-letters/{kept.key}/replay"
    answer = await acme.http.post(path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "replayed"
    assert (await acme.http.post(path)).status_code == 409
    (record,) = await records_of(acme, "otel.traces")
    assert (record.value, record.offset) == (PAYLOAD, answer.json()["replayed_offset"])
    replay = Replay.decode(dict(record.headers)[REPLAY_HEADER])
    assert replay == Replay(LetterKey.parse(kept.key), 1, kept.first_seen_ns)


async def test_letter_whose_original_is_gone_says_so(acme: Caller) -> None:
    """Only a prefix was kept, and the topic does not have the record."""
    kept = letter(acme, 2, payload_truncated=True)
    empty = letter(acme, 3, reason="null_value")
    await dead_letters.store(acme.stores.postgres, [kept, empty])
    answer = await acme.http.post(f"/api/v1/dead-letters/{kept.key}/replay")
    assert answer.status_code == 409
    assert "kept only a prefix" in answer.json()["detail"]
    assert (await acme.http.post(f"/api/v1/dead-letters/{empty.key}/replay")).status_code == 409
